// What the page knows: a snapshot from the stream, and the changes since. Those who draw listen.

export class Store {
  #listeners = new Map();
  ready = false;
  channels = [];
  messages = {};
  users = {};
  groups = {};
  views = [];
  home = null;
  roles = [];
  commands = [];
  shortcuts = [];
  wire = [];
  connections = 0;
  scenario = null;
  unread = {};
  channel = null;
  wanted = "";
  tab = "messages";
  thread = null;

  /** Call `listener` whenever `topic` has changed. */
  on(topic, listener) {
    if (!this.#listeners.has(topic)) this.#listeners.set(topic, []);
    this.#listeners.get(topic).push(listener);
  }

  tell(topic, subject) {
    for (const listener of this.#listeners.get(topic) ?? []) listener(subject);
  }

  /** Apply one event of the stream. */
  take(event) {
    this[`take_${event.type}`]?.(event);
  }

  take_snapshot({ type, ...all }) {
    Object.assign(this, all);
    this.ready = true;
    this.enter(this.channel?.id ?? this.wanted, this.tab, this.thread);
    this.tell("snapshot");
  }

  take_message({ message }) {
    const all = this.messages[message.channel];
    const at = all.findIndex((each) => each.ts === message.ts);
    if (at >= 0) all[at] = message;
    else all.push(message);
    if (at < 0 && message.channel !== this.channel?.id && message.user !== this.me) {
      const before = this.unread[message.channel] ?? { count: 0, mention: false };
      this.unread[message.channel] = {
        count: before.count + 1,
        mention: before.mention || message.mentions_me,
      };
      this.tell("unread");
    }
    this.tell("message", { message, isNew: at < 0 });
  }

  take_gone({ channel, ts }) {
    this.messages[channel] = (this.messages[channel] ?? []).filter((each) => each.ts !== ts);
    this.tell("gone", { channel, ts });
  }

  take_views({ views }) {
    this.views = views;
    this.tell("views");
  }

  take_home({ home }) {
    this.home = home;
    this.tell("home");
  }

  take_wire({ type, ...entry }) {
    this.wire = [...this.wire.slice(-39), entry];
    this.tell("wire");
  }

  take_connections({ connections }) {
    this.connections = connections;
    this.tell("connections");
  }

  take_scenario({ scenario }) {
    this.scenario = scenario;
    this.tell("scenario");
  }

  /**
   * Open a channel, by id or name; the first one where there is no such. Only the conversation with
   * the app has a Home tab. `thread` is the ts of the message whose thread is open.
   */
  enter(wanted, tab = "messages", thread = null) {
    const found = this.channels.find((each) => each.id === wanted || each.name === wanted);
    this.channel = found ?? this.channels[0] ?? null;
    this.tab = this.channel?.peer === this.app.user ? tab : "messages";
    this.thread = this.messages[this.channel?.id]?.some((each) => each.ts === thread)
      ? thread
      : null;
    if (this.channel) delete this.unread[this.channel.id];
    this.tell("place");
  }

  /** What is listed: the open thread, or the channel without what stands in threads only. */
  get shown() {
    const all = this.messages[this.channel?.id] ?? [];
    return this.thread
      ? all.filter((each) => each.ts === this.thread || each.thread === this.thread)
      : all.filter((each) => !each.thread || each.broadcast);
  }

  /** The replies to a message that count: those that everyone sees. */
  replies(message) {
    const all = this.messages[message.channel] ?? [];
    return all.filter((each) => each.thread === message.ts && !each.ephemeral);
  }

  get role() {
    return this.roles.find((each) => each.id === this.me);
  }

  /** What a channel is called, to this person. */
  title(channel) {
    return channel.kind === "im"
      ? (this.users[channel.peer]?.real_name ?? channel.name)
      : channel.name;
  }
}

export const store = new Store();
