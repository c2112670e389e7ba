import type { Conversation } from "@tertulia/client";
import { expect, test } from "vitest";
import { isOver } from "./shown";

test("a_notification_goes_once_what_it_tells_was_read", () => {
  const conversations = [{ id: "c1", readSeq: 5, unread: 1 }, { id: "c2", readSeq: 9, unread: 0 }] as Conversation[];
  const isRead = (told: { conversationId: string | null; seq: number | null }) => isOver(told, conversations, false);
  expect(isRead({ conversationId: "c1", seq: 5 })).toBe(true);
  expect(isRead({ conversationId: "c1", seq: 6 })).toBe(false);
  expect(isRead({ conversationId: "c1", seq: null })).toBe(false);
  expect(isRead({ conversationId: "c2", seq: null })).toBe(true);
  expect(isRead({ conversationId: "c3", seq: 1 })).toBe(false);
  expect(isRead({ conversationId: null, seq: null })).toBe(false);
});

test("a_notification_of_a_conversation_that_is_over_goes_once_all_are_known", () => {
  const conversations = [{ id: "c1", readSeq: 5, unread: 1 }] as Conversation[];
  expect(isOver({ conversationId: "c3", seq: 1 }, conversations, true)).toBe(true);
  expect(isOver({ conversationId: "c1", seq: 6 }, conversations, true)).toBe(false);
  // A test tells of none.
  expect(isOver({ conversationId: null, seq: null }, conversations, true)).toBe(false);
});
