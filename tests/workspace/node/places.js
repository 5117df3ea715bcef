// Slack's own places: the Home tab with a modal that chooses a channel, and a message's shortcut.

const plain = (text) => ({ type: "plain_text", text });

const home = {
  type: "home",
  blocks: [
    { type: "section", text: plain("Good evening") },
    { type: "actions", elements: [{ type: "button", action_id: "where", text: plain("Where") }] },
  ],
};

const where = {
  type: "modal",
  callback_id: "where",
  title: plain("Where"),
  submit: plain("Send"),
  blocks: [
    {
      type: "input",
      block_id: "channel",
      label: plain("Channel"),
      element: {
        type: "conversations_select",
        action_id: "chosen",
        response_url_enabled: true,
        filter: { include: ["public", "private"] },
      },
    },
  ],
};

export function places(app, heard) {
  app.event("app_home_opened", async ({ event, client }) => {
    heard("home", { tab: event.tab });
    await client.views.publish({ user_id: event.user, view: home });
  });

  app.action("where", async ({ ack, body, client }) => {
    await ack();
    await client.views.open({ trigger_id: body.trigger_id, view: where });
  });

  app.view("where", async ({ ack, respond }) => {
    await ack();
    await respond({ response_type: "in_channel", text: "from the Home tab" });
  });

  app.shortcut("pg_sessions_here", async ({ ack, shortcut, client }) => {
    await ack();
    const channel = shortcut.channel.id;
    const thread_ts = shortcut.message.thread_ts ?? shortcut.message_ts;
    heard("shortcut", { text: shortcut.message.text });
    const reply = { channel, thread_ts, text: "looking" };
    const { ts } = await client.chat.postMessage({ ...reply, reply_broadcast: true });
    const { permalink } = await client.chat.getPermalink({ channel, message_ts: ts });
    const user = shortcut.user.id;
    await client.chat.postEphemeral({ channel, user, thread_ts, text: `see ${permalink}` });
  });
}
