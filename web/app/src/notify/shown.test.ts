import type { Conversation } from "@tertulia/client";
import { expect, test } from "vitest";
import { isRead } from "./shown";

test("a_notification_goes_once_what_it_tells_was_read", () => {
  const conversations = [{ id: "c1", readSeq: 5, unread: 1 }, { id: "c2", readSeq: 9, unread: 0 }] as Conversation[];
  expect(isRead({ conversationId: "c1", seq: 5 }, conversations)).toBe(true);
  expect(isRead({ conversationId: "c1", seq: 6 }, conversations)).toBe(false);
  expect(isRead({ conversationId: "c1", seq: null }, conversations)).toBe(false);
  expect(isRead({ conversationId: "c2", seq: null }, conversations)).toBe(true);
  expect(isRead({ conversationId: "c3", seq: 1 }, conversations)).toBe(false);
  expect(isRead({ conversationId: null, seq: null }, conversations)).toBe(false);
});
