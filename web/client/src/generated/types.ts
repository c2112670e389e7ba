// Made from bindings/wasm/src by `cargo xtask types`; not to be changed by hand.

export type UserId = string;

export type ConversationId = string;

export type MessageId = string;

/**
 * The sender's own name for a message, unique together with the sender: a UUIDv7.
 */
export type ClientMsgId = string;

/**
 * Milliseconds since 1970, UTC.
 */
export type Ms = number;

/**
 * A message in a call: the log's name for it, or for one of mine, pending or not, the name it was written under.
 */
export type MessageRef = { id: MessageId, } | { name: ClientMsgId, };

/**
 * How far a message of mine has come.
 */
export type Status = { "state": "pending" } | { "state": "sent" } | { "state": "delivered" } | { "state": "read" } | { "state": "failed", entry: number, code: string, detail: string, };

export type Reaction = { emoji: string, userIds: Array<UserId>, };

export type Message = { 
/**
 * Row on this device; stays while a pending message becomes the log's. Negative where there is no row: in what the server found.
 */
key: number, conversationId: ConversationId, 
/**
 * Place in the conversation; null while pending.
 */
seq: number | null, id: MessageId | null, name: ClientMsgId, senderId: UserId, senderName: string, senderAvatar: string | null, 
/**
 * Empty once deleted.
 */
body: string, createdAt: Ms, replyTo: MessageRef | null, editedAt: Ms | null, deletedAt: Ms | null, reactions: Array<Reaction>, 
/**
 * Of a message of mine; null for others'.
 */
status: Status | null, 
/**
 * An edit, deletion or reaction is shown that the log does not have yet.
 */
isChanging: boolean, 
/**
 * Messages are missing right above; they are being fetched where a timeline shows them.
 */
gapAbove: boolean, };

export type User = { id: UserId, email: string | null, name: string, avatarUrl: string | null, createdAt: Ms, };

export type Role = "owner" | "admin" | "member";

export type Conversation = { id: ConversationId, type: "dm" | "group", 
/**
 * null in a DM: its title is `peer.name`.
 */
title: string | null, peer: User | null, createdAt: Ms, lastMessageAt: Ms | null, lastMessage: Message | null, lastSeq: number, readSeq: number, unread: number, myRole: Role, memberCount: number, historyVisibility: "joined" | "all", mutedUntil: Ms | null, isHidden: boolean, draft: string, 
/**
 * Something of it was refused and waits for the person: see the outbox.
 */
hasParked: boolean, 
/**
 * One is no member any more; it is here for what could not be sent.
 */
isLeft: boolean, };

export type Member = { userId: UserId, name: string, avatarUrl: string | null, role: Role, joinedAt: Ms, 
/**
 * Everything up to here has reached one of the person's devices.
 */
deliveredSeq: number, readSeq: number, };

export type Op = { "op": "send" } | { "op": "edit", body: string, } | { "op": "delete" } | { "op": "react", emoji: string, remove: boolean, };

export type Parked = { code: string, detail: string, };

export type Waiting = { 
/**
 * What `retry` and `discard` take.
 */
entry: number, conversationId: ConversationId, message: MessageRef, op: Op, 
/**
 * Refused for good, and why: it waits for the person. null: it goes by itself.
 */
parked: Parked | null, createdAt: Ms, };

export type ConnectionState = { "state": "paused" } | { "state": "offline" } | { "state": "waiting", inMs: number, } | { "state": "connecting" } | { "state": "connected", caughtUp: boolean, } | { "state": "signedOut" } | { "state": "wrongAccount" } | { "state": "newerVersion" };

export type Typist = { userId: UserId, name: string, };

export type Presence = { online: boolean, lastSeenAt: Ms | null, };

/**
 * What came to nothing and was taken back.
 */
export type Refused = { conversationId: ConversationId, code: string, detail: string, };

export type Limits = { bodyMaxBytes: number, titleMaxChars: number, groupMembersMax: number, };

/**
 * What the data take on this device.
 */
export type Kept = { bytes: number, 
/**
 * false: in memory alone, gone with the tab that leads.
 */
isDurable: boolean, };

/**
 * A session of this person on the server.
 */
export type Session = { id: string, createdAt: Ms, lastSeenAt: Ms | null, userAgent: string | null, isThis: boolean, };

/**
 * `token`: null where the browser has been given the session's cookie instead.
 */
export type SignedIn = { user: User, token: string | null, };

/**
 * How this server notifies.
 */
export type PushOffer = { providers: Array<string>, 
/**
 * What a browser subscribes with (RFC 8292), in base64url; null where it can't be notified.
 */
vapidPublicKey: string | null, };

/**
 * A device of one's own that is registered for notifications.
 */
export type NotifiedDevice = { id: string, platform: "ios" | "android" | "web", appVersion: string | null, userAgent: string | null, 
/**
 * The local store there, where it said which it is.
 */
deviceId: string | null, 
/**
 * Its notifications say who and what.
 */
showsContent: boolean, registeredAt: Ms, 
/**
 * Notifications go there; otherwise `failure` says why not.
 */
active: boolean, failure: string | null, };

/**
 * What became of a test notification.
 */
export type TestOutcome = "accepted" | "failed" | "refused" | "unregistered";

export type DeviceTest = { 
/**
 * The registration.
 */
id: string, outcome: TestOutcome, 
/**
 * The provider's name for it, or why not.
 */
detail: string, };

/**
 * Every day from one time (`HH:MM`) to another, over midnight where `to` is the earlier one. What comes then waits for the end.
 */
export type QuietHours = { from: string, to: string, 
/**
 * Such as `Europe/Madrid`.
 */
timeZone: string, };

/**
 * How one is notified, on all one's devices.
 */
export type NotificationSettings = { doNotDisturb: QuietHours | null, };

/**
 * One step of a list. Steps are applied in order; each index counts in the list as the steps before it left it.
 */
export type ListStep<T> = { "step": "reset", values: Array<T>, } | { "step": "insert", index: number, value: T, } | { "step": "set", index: number, value: T, } | { "step": "remove", index: number, };

/**
 * What changed of a timeline.
 */
export type TimelineChange = { steps: Array<ListStep<Message>>, hasOlder: boolean, hasNewer: boolean, };

/**
 * `code`: one of the server's, or `unreachable` (no network, no server, no token for now: whether the server did it is not known), `closed`, `store` (the local
 * database), `newer_version` (another tab, or the database, is of a newer version of this app: reload).
 */
export type Failure = { code: string, detail: string, retryAfterMs: number | null, 
/**
 * What is to be done about the database before anything else can go on.
 */
remedy: Remedy | null, };

export type Remedy = "again" | "remove";

/**
 * How the client is opened.
 */
export type Opening = { 
/**
 * Origin, and path where it has one, of the server.
 */
server: string, 
/**
 * Name of the folder of the database.
 */
folder: string, 
/**
 * The session's cookie says who is asking; else tokens do.
 */
byCookie: boolean, };

/**
 * Somebody to be found by the server.
 */
export type Who = { email: string, } | { userId: UserId, };

/**
 * One call. What the person does is committed on this device when the answer comes; what needs the server says so by its errors.
 */
export type Call = { "send": { conversation: ConversationId, name: ClientMsgId, body: string, replyTo: MessageRef | null, } } | { "edit": { conversation: ConversationId, message: MessageRef, body: string, } } | { "delete": { conversation: ConversationId, message: MessageRef, } } | { "react": { conversation: ConversationId, message: MessageRef, emoji: string, remove: boolean, } } | { "markRead": { conversation: ConversationId, seq: number | null, } } | { "mute": { conversation: ConversationId, until: Ms | null, } } | { "setDraft": { conversation: ConversationId, text: string, } } | { "retry": { entry: number, } } | { "discard": { entry: number, } } | { "setTyping": { conversation: ConversationId, typing: boolean, } } | "connect" | "pause" | { "setNetwork": { up: boolean, } } | { "setToken": { token: string, } } | { "loadOlder": { subscription: string, } } | { "loadNewer": { subscription: string, } } | { "jumpTo": { subscription: string, message: MessageId, } } | { "jumpToPlace": { subscription: string, seq: number, } } | { "jumpToNewest": { subscription: string, } } | { "message": { conversation: ConversationId, message: MessageRef, } } | { "search": { text: string, conversation: ConversationId | null, limit: number, } } | "limits" | { "login": { email: string, password: string, } } | { "register": { email: string, password: string, name: string, } } | "me" | { "updateMe": { name?: string, 
/**
 * null takes the picture away; without it the picture stays.
 */
avatarUrl?: string | null, } } | { "user": { user: UserId, } } | { "searchUsers": { email: string, } } | { "block": { user: UserId, } } | { "unblock": { user: UserId, } } | "blocked" | "sessions" | { "endSession": { id: string, } } | { "openDm": { who: Who, } } | { "createGroup": { title: string, members: Array<Who>, historyVisibility: "joined" | "all", } } | { "rename": { conversation: ConversationId, title: string, } } | { "hide": { conversation: ConversationId, } } | { "addMember": { conversation: ConversationId, who: Who, } } | { "setRole": { conversation: ConversationId, user: UserId, role: Role, } } | { "removeMember": { conversation: ConversationId, user: UserId, newOwner: UserId | null, } } | { "searchMessages": { text: string, conversation: ConversationId | null, limit: number, } } | "deviceId" | "pushOffer" | { "registerDevice": { 
/**
 * The subscription as JSON.
 */
token: string, appVersion: string | null, showsContent: boolean, } } | { "unregisterDevice": { token: string | null, id: string | null, } } | "devices" | "testDevices" | "notificationSettings" | { "setQuietHours": { hours: QuietHours | null, } } | "logOut" | "endOwnSession";

/**
 * What there is to see.
 */
export type Topic = "connection" | "account" | "conversations" | "unreadTotal" | "outbox" | "kept" | "refusals" | { "conversation": { id: ConversationId, } } | { "members": { id: ConversationId, } } | { "typing": { id: ConversationId, } } | { "presence": { user: UserId, } } | { "timeline": { id: ConversationId, 
/**
 * The place it is around; without, it is at the end.
 */
at: number | null, older: number, newer: number, } };
