// A small app on @slack/bolt: commands, buttons, a modal, response_url and what is in places.js,
// each as Bolt's documentation does it. It prints a line of JSON for each thing that it heard.
//
// Each line of input is JSON: the variables that configure an app, which then runs until an empty
// line stops it.

import { createInterface } from "node:readline";
import bolt from "@slack/bolt";
import { places } from "./places.js";

function heard(what, more) {
  console.log(JSON.stringify({ heard: what, ...more }));
}

function button(action, style) {
  const text = { type: "plain_text", text: action };
  return {
    type: "button",
    action_id: action.toLowerCase(),
    text,
    value: action,
    ...(style && { style }),
  };
}

function built(env) {
  const app = new bolt.App({
    token: env.SLACK_BOT_TOKEN,
    appToken: env.SLACK_APP_TOKEN,
    socketMode: true,
    logLevel: "error",
    clientOptions: { slackApiUrl: env.SLACK_API_URL },
  });

  app.command("/pg-kill", async ({ ack, command, client }) => {
    await ack({ response_type: "in_channel" });
    heard("command", { text: command.text, user: command.user_name });
    await client.chat.postMessage({
      channel: command.channel_id,
      text: "Terminate?",
      blocks: [
        {
          type: "table",
          rows: [
            ["pid", "usename"],
            ["33507", "some_user"],
          ].map((row) => row.map((text) => ({ type: "raw_text", text }))),
        },
        {
          type: "actions",
          elements: [button("Terminate", "danger"), button("Whisper"), button("Ask")],
        },
      ],
    });
  });

  app.command("/pg-sessions", async ({ ack, respond }) => {
    await ack();
    await respond({ response_type: "ephemeral", text: "for you alone" });
  });

  app.action("terminate", async ({ ack, respond, body }) => {
    await ack();
    await respond({ replace_original: true, text: `done by <@${body.user.id}>` });
  });

  app.action("whisper", async ({ ack, respond }) => {
    await ack();
    await respond({ replace_original: false, response_type: "ephemeral", text: "whispered" });
  });

  app.action("ask", async ({ ack, body, client }) => {
    await ack();
    const element = { type: "plain_text_input", action_id: "text" };
    await client.views.open({
      trigger_id: body.trigger_id,
      view: {
        type: "modal",
        callback_id: "reason",
        private_metadata: body.channel.id,
        title: { type: "plain_text", text: "Reason" },
        submit: { type: "plain_text", text: "Send" },
        blocks: [
          { type: "input", block_id: "why", label: { type: "plain_text", text: "Why" }, element },
        ],
      },
    });
  });

  app.view("reason", async ({ ack, view, client }) => {
    const why = view.state.values.why.text.value;
    if (why === "none") {
      await ack({ response_action: "errors", errors: { why: "That is no reason." } });
      return;
    }
    await ack();
    await client.chat.postMessage({ channel: view.private_metadata, text: `because ${why}` });
  });

  places(app, heard);

  app.error(async (error) => heard("error", { message: error.message }));
  return app;
}

let app;
for await (const line of createInterface({ input: process.stdin })) {
  await app?.stop();
  app = line ? built(JSON.parse(line)) : undefined;
  await app?.start();
  if (!app) console.log(JSON.stringify({ stopped: true }));
}
