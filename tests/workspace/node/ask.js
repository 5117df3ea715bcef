// Calls methods of the Web API with the official client. Each line of input is JSON,
// `[{"token": …, "url": …}, "chat.postMessage", {…}]`; each line of output is Slack's answer, or
// its refusal.

import { createInterface } from "node:readline";
import bolt from "@slack/bolt";

for await (const line of createInterface({ input: process.stdin })) {
  const [{ token, url }, name, given] = JSON.parse(line);
  const client = new bolt.webApi.WebClient(token, { slackApiUrl: url, logLevel: "error" });
  const method = name.split(".").reduce((found, part) => found[part], client);
  const answer = await method(given).catch((error) => error.data);
  console.log(JSON.stringify(answer));
}
