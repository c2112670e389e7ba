// The client as a page sees it.

import type { Live, Options, Rest, Storage, Tertulia, Timeline } from "./api.js";
import type {
  Call, ClientMsgId, ConnectionState, Conversation, ConversationId, Kept, Limits, Member, Message, MessageRef, Ms, Presence, Refused, SignedIn, Typist,
  User, UserId, Waiting,
} from "./generated/types.js";
import { TertuliaError } from "./error.js";
import { Link } from "./link.js";
import { LiveTimeline, Value, told, toldList } from "./live.js";
import { newId } from "./protocol.js";
import { restOf } from "./rest.js";

const SEARCH_MAX = 50;

export class Client implements Tertulia {
  readonly connection: Live<ConnectionState>;
  readonly account: Live<User | null>;
  readonly conversations: Live<readonly Conversation[]>;
  readonly unreadTotal: Live<number>;
  readonly outbox: Live<readonly Waiting[]>;
  readonly storage: Live<Storage>;
  readonly rest: Rest;

  readonly #link: Link;
  readonly #byCookie: boolean;
  readonly #shared = new Map<string, Live<unknown>>();
  readonly #page = new AbortController();
  /** Where the session could not be ended when the person logged out: it is before anything else is done with it. */
  readonly #logOutKey: string;
  #token: string | null = null;
  #wantsConnection = false;

  constructor(options: Options) {
    const store = encodeURIComponent(options.store ?? "default").replaceAll(".", "%2E");
    this.#byCookie = options.token === undefined;
    this.#token = typeof options.token === "string" ? options.token : null;
    this.#logOutKey = `tertulia:${store}:log-out`;
    this.#link = new Link({
      server: options.server ?? location.origin,
      store,
      byCookie: this.#byCookie,
      token: (refused) => this.#giveToken(refused, options.token),
    });
    this.#link.onLeader = () => this.#begin();
    this.connection = this.#connectionValue();
    this.account = told(this.#link, "account");
    this.conversations = toldList<Conversation>(this.#link, "conversations", (conversation) => conversation.id);
    this.unreadTotal = told(this.#link, "unreadTotal");
    this.outbox = told(this.#link, "outbox");
    this.storage = this.#storageValue();
    this.rest = restOf((call) => this.#link.call(call), (call) => this.#signIn(call));
    this.#watchPage();
  }

  async send(conversation: ConversationId, body: string, options?: { replyTo?: MessageRef; name?: ClientMsgId }): Promise<ClientMsgId> {
    const name = options?.name ?? newId();
    await this.#do({ send: { conversation, name, body, replyTo: options?.replyTo ?? null } });
    return name;
  }

  edit(conversation: ConversationId, message: MessageRef, body: string): Promise<void> {
    return this.#do({ edit: { conversation, message: refOf(message), body } });
  }

  delete(conversation: ConversationId, message: MessageRef): Promise<void> {
    return this.#do({ delete: { conversation, message: refOf(message) } });
  }

  react(conversation: ConversationId, message: MessageRef, emoji: string, remove = false): Promise<void> {
    return this.#do({ react: { conversation, message: refOf(message), emoji, remove } });
  }

  markRead(conversation: ConversationId, seq?: number): Promise<void> {
    return this.#do({ markRead: { conversation, seq: seq ?? null } });
  }

  mute(conversation: ConversationId, until: Ms | null): Promise<void> {
    return this.#do({ mute: { conversation, until } });
  }

  setDraft(conversation: ConversationId, text: string): Promise<void> {
    return this.#do({ setDraft: { conversation, text } });
  }

  retry(entry: number): Promise<void> {
    return this.#do({ retry: { entry } });
  }

  discard(entry: number): Promise<void> {
    return this.#do({ discard: { entry } });
  }

  setTyping(conversation: ConversationId, typing: boolean): Promise<void> {
    return this.#do({ setTyping: { conversation, typing } });
  }

  async connect(): Promise<void> {
    await this.#endOldSession();
    this.#wantsConnection = true;
    await this.#do("connect");
  }

  pause(): Promise<void> {
    this.#wantsConnection = false;
    return this.#do("pause");
  }

  conversation(id: ConversationId): Live<Conversation | null> {
    return this.#sharedValue(`conversation ${id}`, () => told(this.#link, { conversation: { id } }));
  }

  members(id: ConversationId): Live<readonly Member[]> {
    return this.#sharedValue(`members ${id}`, () => told(this.#link, { members: { id } }));
  }

  typing(id: ConversationId): Live<readonly Typist[]> {
    return this.#sharedValue(`typing ${id}`, () => told(this.#link, { typing: { id } }));
  }

  presence(user: UserId): Live<Presence | null> {
    return this.#sharedValue(`presence ${user}`, () => told(this.#link, { presence: { user } }));
  }

  timeline(id: ConversationId): Timeline {
    return new LiveTimeline(this.#link, id);
  }

  onRefused(listener: (what: Refused) => void): () => void {
    const name = this.#link.subscribe(() => ("refusals"), (what) => listener(what as Refused));
    return () => this.#link.unsubscribe(name);
  }

  message(conversation: ConversationId, message: MessageRef): Promise<Message | null> {
    return this.#link.call({ message: { conversation, message: refOf(message) } });
  }

  search(text: string, options?: { conversation?: ConversationId; limit?: number }): Promise<Message[]> {
    const args = { text, conversation: options?.conversation ?? null, limit: options?.limit ?? SEARCH_MAX };
    return this.#link.call({ search: args });
  }

  limits(): Promise<Limits> {
    return this.#link.call("limits");
  }

  deviceId(): Promise<string | null> {
    return this.#link.call("deviceId");
  }

  async logOut(): Promise<void> {
    this.#wantsConnection = false;
    this.#token = null;
    if (this.#byCookie) remember(this.#logOutKey, true);
    await this.#do("logOut");
    // It is over by now, or there is no network; then it is ended before the next sign-in.
    void this.#endOldSession();
  }

  async close(): Promise<void> {
    this.#page.abort();
    await this.#link.close();
  }

  #do(call: Call): Promise<void> {
    return this.#link.call<null>(call).then(() => {});
  }

  /** To whoever leads from now on, before all that waits. */
  #begin(): void {
    const quietly = () => {};
    this.#do({ setNetwork: { up: navigator.onLine } }).catch(quietly);
    if (this.#wantsConnection) this.#do("connect").catch(quietly);
  }

  async #giveToken(refused: string | null, ask: Options["token"]): Promise<string | null> {
    if (this.#token === refused) this.#token = null;
    return this.#token ?? (typeof ask === "function" ? ask() : null);
  }

  async #signIn(call: Call): Promise<User> {
    const { user, token } = await this.#link.call<SignedIn>(call);
    remember(this.#logOutKey, false);
    this.#token = token;
    this.#wantsConnection = true;
    // What is on this device alone should stay. A browser may ask the person, who has just done something.
    navigator.storage?.persist?.().then(() => this.#lookAtStorage(), () => {});
    return user;
  }

  async #endOldSession(): Promise<void> {
    if (!this.#byCookie || !remembered(this.#logOutKey)) return;
    try {
      await this.#do("endOwnSession");
    } catch (error) {
      if (!(error instanceof TertuliaError) || error.code !== "unauthenticated") return;
    }
    remember(this.#logOutKey, false);
  }

  #sharedValue<T>(name: string, make: () => Live<T>): Live<T> {
    const known = this.#shared.get(name) ?? make();
    this.#shared.set(name, known);
    return known as Live<T>;
  }

  #connectionValue(): Live<ConnectionState> {
    const value = told<ConnectionState>(this.#link, "connection");
    this.#link.onOutdated = () => value.set({ state: "newerVersion" });
    return value;
  }

  #lookAtStorage: () => void = () => {};

  #storageValue(): Live<Storage> {
    const kept = told<Kept>(this.#link, "kept");
    let isPersisted = false;
    return new Value<Storage>((value) => {
      const show = () => {
        const now = kept.get();
        if (now) value.set({ ...now, isPersisted });
      };
      this.#lookAtStorage = () => {
        navigator.storage?.persisted?.().then((is) => {
          isPersisted = is;
          show();
        }, () => {});
      };
      this.#lookAtStorage();
      return kept.subscribe(show);
    });
  }

  /** A page that is put to sleep lets another tab lead; back again it queues. */
  #watchPage(): void {
    const { signal } = this.#page;
    const network = () => {
      this.#do({ setNetwork: { up: navigator.onLine } }).catch(() => {});
    };
    addEventListener("online", network, { signal });
    addEventListener("offline", network, { signal });
    addEventListener("pagehide", () => this.#link.sleep(), { signal });
    addEventListener("pageshow", () => this.#link.wake(), { signal });
    document.addEventListener("freeze", () => this.#link.sleep(), { signal });
    document.addEventListener("resume", () => this.#link.wake(), { signal });
  }
}

/** Messages may be given where a name of one is wanted. */
function refOf(message: MessageRef): MessageRef {
  return "id" in message && message.id ? { id: message.id } : { name: (message as { name: ClientMsgId }).name };
}

function remember(key: string, is: boolean): void {
  try {
    if (is) localStorage.setItem(key, "1");
    else localStorage.removeItem(key);
  } catch {
    // Pages may be without.
  }
}

function remembered(key: string): boolean {
  try {
    return localStorage.getItem(key) !== null;
  } catch {
    return false;
  }
}
