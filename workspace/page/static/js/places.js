// Where blocks stand: what their elements hold, and where their clicks go. See elements.js.

import { act } from "./api.js";
import { givenIn, initial } from "./elements.js";

/** What a person has put into one message or modal, over what Slack knows of it. */
class Inputs {
  #given = {};

  constructor(known) {
    this.known = known;
  }

  get(block, element) {
    const mine = this.#given[block.block_id];
    if (mine && element.action_id in mine) return mine[element.action_id];
    const state = this.known[block.block_id]?.[element.action_id];
    return state ? givenIn(state) : initial(element);
  }

  set(block, element, given) {
    (this.#given[block.block_id] ??= {})[element.action_id] = given;
  }

  get all() {
    return this.#given;
  }
}

export function messagePlace(message) {
  const inputs = new Inputs(message.inputs);
  return {
    value: (block, element) => inputs.get(block, element),
    keep: (block, element, given) => inputs.set(block, element, given),
    press: (block, element, given) =>
      act("click", {
        channel: message.channel,
        ts: message.ts,
        block_id: block.block_id,
        action_id: element.action_id,
        given,
        values: inputs.all,
      }),
  };
}

/** The Home tab of this person. */
export function homePlace() {
  return {
    ...viewPlace(null),
    press: (block, element, given) =>
      act("home/click", { block_id: block.block_id, action_id: element.action_id, given }),
  };
}

/** A modal keeps what was typed through every change of its view, by block_id and action_id. */
export function viewPlace(id) {
  const inputs = new Inputs({});
  let errors = {};
  return {
    update(view) {
      inputs.known = view.inputs;
      errors = view.errors;
    },
    get values() {
      return inputs.all;
    },
    error: (block) => errors[block.block_id],
    value: (block, element) => inputs.get(block, element),
    keep: (block, element, given) => inputs.set(block, element, given),
    press: (block, element, given) =>
      act("modal/click", {
        view: id,
        block_id: block.block_id,
        action_id: element.action_id,
        given,
        values: inputs.all,
      }),
  };
}
