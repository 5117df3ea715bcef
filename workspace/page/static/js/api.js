// What this person does, sent to the workspace. A refusal is shown, and answered by false.

import { store } from "./store.js";
import { toast } from "./toast.js";

export async function act(what, body = {}) {
  try {
    const response = await fetch(`/act/${what}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ person: store.role.name, ...body }),
    });
    if (response.ok) return true;
    toast(await response.text());
  } catch {
    toast("The workspace does not answer.");
  }
  return false;
}
