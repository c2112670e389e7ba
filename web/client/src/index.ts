// Chat that works without a network: the client of Tertulia for browsers. Begin with `openTertulia`.

import type { Options, Tertulia } from "./api.js";
import { Client } from "./tertulia.js";

export type { Live, Options, Rest, Storage, Tertulia, Timeline, TimelineView } from "./api.js";
export { TertuliaError } from "./error.js";
export type {
  ClientMsgId, ConnectionState, Conversation, ConversationId, DeviceTest, Limits, Member, Message, MessageId, MessageRef, Ms, NotificationSettings,
  NotifiedDevice, Op, Presence, PushOffer, QuietHours, Reaction, Refused, Role, Session, Status, TestOutcome, Typist, User, UserId, Waiting,
} from "./generated/types.js";

/**
 * Starts this tab's worker. Nothing is sent before `connect`, or signing in. One per page and store.
 */
export function openTertulia(options: Options = {}): Tertulia {
  return new Client(options);
}
