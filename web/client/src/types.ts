// The shapes that cross from the core. (Target of the generator: made from bindings/wasm/src/model.rs.)

export type UserId = string;
export type ConversationId = string;
export type MessageId = string;
/** The sender's own name for a message, unique together with the sender: a UUIDv7. */
export type ClientMsgId = string;

/** Milliseconds since 1970, UTC. */
export type Ms = number;

/** A message in a call: the log's name for it, or for one of mine, pending or not, the name it was written under. */
export type MessageRef = { id: MessageId } | { name: ClientMsgId };

export type Status =
  | { state: "pending" }
  | { state: "sent" }
  | { state: "delivered" }
  | { state: "read" }
  /** `entry`: what `retry` and `discard` take. */
  | { state: "failed"; entry: number; code: string; detail: string };

export interface Reaction {
  emoji: string;
  userIds: UserId[];
}

export interface Message {
  /** Row on this device; stays while a pending message becomes the log's. */
  key: number;
  conversationId: ConversationId;
  /** Place in the conversation; null while pending. */
  seq: number | null;
  id: MessageId | null;
  name: ClientMsgId;
  senderId: UserId;
  senderName: string;
  senderAvatar: string | null;
  /** Empty once deleted. */
  body: string;
  createdAt: Ms;
  replyTo: MessageRef | null;
  editedAt: Ms | null;
  deletedAt: Ms | null;
  reactions: Reaction[];
  /** Of a message of mine; null for others'. */
  status: Status | null;
  /** An edit, deletion or reaction is shown that the log does not have yet. */
  isChanging: boolean;
  /** Messages are missing right above; they are being fetched where a timeline shows them. */
  gapAbove: boolean;
}

export interface User {
  id: UserId;
  email: string | null;
  name: string;
  avatarUrl: string | null;
  createdAt: Ms;
}

export type Role = "owner" | "admin" | "member";

export interface Conversation {
  id: ConversationId;
  type: "dm" | "group";
  /** null in a DM: its title is `peer.name`. */
  title: string | null;
  peer: User | null;
  createdAt: Ms;
  lastMessageAt: Ms | null;
  lastMessage: Message | null;
  lastSeq: number;
  readSeq: number;
  unread: number;
  myRole: Role;
  memberCount: number;
  historyVisibility: "joined" | "all";
  mutedUntil: Ms | null;
  isHidden: boolean;
  draft: string;
  hasParked: boolean;
  isLeft: boolean;
}

export interface Member {
  userId: UserId;
  name: string;
  avatarUrl: string | null;
  role: Role;
  joinedAt: Ms;
  deliveredSeq: number;
  readSeq: number;
}

export type Op = { op: "send" } | { op: "edit"; body: string } | { op: "delete" } | { op: "react"; emoji: string; remove: boolean };

export interface Waiting {
  entry: number;
  conversationId: ConversationId;
  message: MessageRef;
  op: Op;
  /** Refused for good, and why: it waits for the person. null: it goes by itself. */
  parked: { code: string; detail: string } | null;
  createdAt: Ms;
}

export type ConnectionState =
  | { state: "paused" }
  | { state: "offline" }
  /** `inMs`: until the next try, counted when this was told. */
  | { state: "waiting"; inMs: number }
  | { state: "connecting" }
  /** `caughtUp`: what was missed is here. */
  | { state: "connected"; caughtUp: boolean }
  | { state: "signedOut" }
  | { state: "wrongAccount" };

export interface Typist {
  userId: UserId;
  name: string;
}

export interface Presence {
  online: boolean;
  lastSeenAt: Ms | null;
}

/** What came to nothing and was taken back. */
export interface Refused {
  conversationId: ConversationId;
  code: string;
  detail: string;
}

export interface Limits {
  bodyMaxBytes: number;
  titleMaxChars: number;
  groupMembersMax: number;
}

/** How many messages are let go of on this device. */
export interface Storage {
  bytes: number;
  /** false: in memory alone, gone with the last tab. */
  isDurable: boolean;
  /** Whether the browser has promised not to evict it. */
  isPersisted: boolean;
}

/** Sessions of this person on the server. */
export interface Session {
  id: string;
  createdAt: Ms;
  lastSeenAt: Ms | null;
  userAgent: string | null;
  isThis: boolean;
}
