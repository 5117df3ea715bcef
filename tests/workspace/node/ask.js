// Calls methods of the Web API with the official client. Each line of input is JSON,
// `["chat.postMessage", {…}]`; each line of output is Slack's answer, or its refusal.

import { createInterface } from "node:readline";
import bolt from "@slack/bolt";

const client = new bolt.webApi.WebClient(process.env.SLACK_BOT_TOKEN, {
  slackApiUrl: process.env.SLACK_API_URL,
  logLevel: "error",
});

for await (const line of createInterface({ input: process.stdin })) {
  const [name, given] = JSON.parse(line);
  const method = name.split(".").reduce((found, part) => found[part], client);
  const answer = await method(given).catch((error) => error.data);
  console.log(JSON.stringify(answer));
}
