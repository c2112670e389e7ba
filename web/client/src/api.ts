import type {
  ClientMsgId, ConnectionState, Conversation, ConversationId, DeviceTest, Limits, Member, Message, MessageId, MessageRef, Ms, NotificationSettings,
  NotifiedDevice, Presence, PushOffer, QuietHours, Refused, Role, Session, Typist, User, UserId, Waiting,
} from "./generated/types.js";

/**
 * A value that changes: made for `useSyncExternalStore`. `get` gives the same object until it changes, and `undefined` until it is first known.
 * Nothing is asked of the core while nobody listens; the last value is kept.
 */
export interface Live<T> {
  get(): T | undefined;
  /** Calls `listener` after each change (not at once). Returns the end of it. */
  subscribe(listener: () => void): () => void;
}

/**
 * The messages of a conversation on show, oldest first: the newest page, or a page around a place; wider as it is asked for, up to some 400 messages. Of more
 * those go that are farthest from the end where it grew, and come again when they are asked for.
 */
export interface TimelineView {
  messages: readonly Message[];
  /** There is more above (below) what is shown. `hasNewer` is false as long as the window reaches the newest. */
  hasOlder: boolean;
  hasNewer: boolean;
}

export interface Timeline extends Live<TimelineView> {
  loadOlder(): Promise<void>;
  loadNewer(): Promise<void>;
  /** Shows the page around a message, over holes too (they are fetched). Rejects with `not_found` where there is none for this person. */
  jumpTo(message: MessageId): Promise<void>;
  /** Shows the page around a place, whether its message is on this device or has to be fetched. */
  jumpToPlace(seq: number): Promise<void>;
  jumpToNewest(): Promise<void>;
  close(): void;
}

export interface Tertulia {
  /**
   * Commands: resolve when committed on this device (with or without network), reject with a `TertuliaError` when refused. `name`: a UUIDv7 of one's own, under
   * which it may be sent by whatever ways, and is there once.
   */
  send(conversation: ConversationId, body: string, options?: { replyTo?: MessageRef; name?: ClientMsgId }): Promise<ClientMsgId>;
  edit(conversation: ConversationId, message: MessageRef, body: string): Promise<void>;
  delete(conversation: ConversationId, message: MessageRef): Promise<void>;
  react(conversation: ConversationId, message: MessageRef, emoji: string, remove?: boolean): Promise<void>;
  /** Without `seq`: everything there is. */
  markRead(conversation: ConversationId, seq?: number): Promise<void>;
  mute(conversation: ConversationId, until: Ms | null): Promise<void>;
  setDraft(conversation: ConversationId, text: string): Promise<void>;
  retry(entry: number): Promise<void>;
  discard(entry: number): Promise<void>;
  setTyping(conversation: ConversationId, typing: boolean): Promise<void>;

  connect(): Promise<void>;
  pause(): Promise<void>;

  /** What there is to see. Asked twice for the same, the same object comes. */
  readonly connection: Live<ConnectionState>;
  /** Whose data these are; null: nobody has signed in on this device. */
  readonly account: Live<User | null>;
  readonly conversations: Live<readonly Conversation[]>;
  readonly unreadTotal: Live<number>;
  readonly outbox: Live<readonly Waiting[]>;
  readonly storage: Live<Storage>;
  conversation(id: ConversationId): Live<Conversation | null>;
  members(id: ConversationId): Live<readonly Member[]>;
  typing(id: ConversationId): Live<readonly Typist[]>;
  /** null: not known, as without a connection. Whoever is listened to is watched. */
  presence(user: UserId): Live<Presence | null>;
  /** A timeline of its own each time; close it. */
  timeline(id: ConversationId): Timeline;
  onRefused(listener: (what: Refused) => void): () => void;

  message(conversation: ConversationId, message: MessageRef): Promise<Message | null>;
  /** On this device; at least three characters. */
  search(text: string, options?: { conversation?: ConversationId; limit?: number }): Promise<Message[]>;
  limits(): Promise<Limits>;
  /** How the data on this device name themselves to the server, until the person logs out; null where that could not be kept. */
  deviceId(): Promise<string | null>;

  readonly rest: Rest;

  /** Ends the session on the server where it can be reached, and wipes this device. */
  logOut(): Promise<void>;
  /** Lets go of everything; another tab takes over. */
  close(): Promise<void>;
}

/** What needs the server at once. Rejects with a `TertuliaError`; `unreachable` without network. */
export interface Rest {
  /** Sign in by the session cookie (the default), or where a token is asked for it is kept by the client for this page. Connects. */
  login(email: string, password: string): Promise<User>;
  register(email: string, password: string, name: string): Promise<User>;
  me(): Promise<User>;
  updateMe(change: { name?: string; avatarUrl?: string | null }): Promise<User>;
  user(id: UserId): Promise<User>;
  /** By e-mail, exact or its beginning; at most 20. */
  searchUsers(email: string): Promise<User[]>;
  block(user: UserId): Promise<void>;
  unblock(user: UserId): Promise<void>;
  blocked(): Promise<User[]>;
  sessions(): Promise<Session[]>;
  endSession(id: string): Promise<void>;
  openDm(who: { email: string } | { userId: UserId }): Promise<ConversationId>;
  createGroup(title: string, members: ({ email: string } | { userId: UserId })[], historyVisibility?: "joined" | "all"): Promise<ConversationId>;
  rename(conversation: ConversationId, title: string): Promise<void>;
  hide(conversation: ConversationId): Promise<void>;
  addMember(conversation: ConversationId, who: { email: string } | { userId: UserId }): Promise<void>;
  setRole(conversation: ConversationId, user: UserId, role: Role): Promise<void>;
  /** Oneself: to leave; the last owner names another by `newOwner`. */
  removeMember(conversation: ConversationId, user: UserId, newOwner?: UserId): Promise<void>;
  /** Which services this server notifies by, and what a browser subscribes with. */
  pushOffer(): Promise<PushOffer>;
  /** This browser, by its push subscription as JSON; again at each start. It ends with the session. `showsContent`: `false` tells neither who nor what. */
  registerDevice(device: { token: string; showsContent: boolean; appVersion?: string }): Promise<NotifiedDevice>;
  /** `id`: of the registration. */
  unregisterDevice(which: { token: string } | { id: string }): Promise<void>;
  /** Where the person is notified, the latest registration first. */
  devices(): Promise<NotifiedDevice[]>;
  /** Sends a notification to all of them; what the services answered. */
  testDevices(): Promise<DeviceTest[]>;
  notificationSettings(): Promise<NotificationSettings>;
  /** When nobody is to be disturbed, on all the person's devices; null: never. */
  setQuietHours(hours: QuietHours | null): Promise<NotificationSettings>;
  /** All there are, also those not on this device; newest first. */
  searchMessages(text: string, options?: { conversation?: ConversationId; limit?: number }): Promise<Message[]>;
}

export interface Options {
  /** Origin (and path) of the server; without: where the page comes from. */
  server?: string;
  /** A token, or who gives one when asked (again after it was refused). Without: the session cookie of the server's origin. */
  token?: string | (() => Promise<string>);
  /** Name of the data on this device, for apps with several accounts. "default". */
  store?: string;
}

/** What the data take on this device. */
export interface Storage {
  bytes: number;
  /** false: in memory alone, gone with the last tab. */
  isDurable: boolean;
  /** Whether the browser has promised not to evict it. */
  isPersisted: boolean;
}
