import type { Conversation } from "@tertulia/client";
import { expect, test } from "vitest";
import { isOver } from "./shown";

const known = (id: string, readSeq: number, lastSeq: number, unread: number, isLeft = false) => ({ id, readSeq, lastSeq, unread, isLeft }) as Conversation;

test("a_notification_goes_once_what_it_tells_was_read", () => {
  const conversations = [known("c1", 5, 6, 1), known("c2", 9, 9, 0), known("c4", 3, 5, 0)];
  const table: [string | null, number | null, boolean][] = [
    ["c1", 5, true],
    ["c1", 6, false],
    ["c1", null, false],
    ["c2", null, true],
    // It is not here yet.
    ["c2", 10, false],
    // It was deleted.
    ["c4", 5, true],
    ["c4", 6, false],
    ["c3", 1, false],
    [null, null, false],
  ];
  for (const [conversationId, seq, expected] of table) {
    expect([conversationId, seq, isOver({ conversationId, seq }, conversations, false)]).toEqual([conversationId, seq, expected]);
  }
});

test("a_notification_of_a_conversation_that_is_over_goes_once_all_are_known", () => {
  const conversations = [known("c1", 5, 6, 1), known("left", 0, 6, 0, true)];
  const over = (conversationId: string | null, isAll: boolean) => isOver({ conversationId, seq: conversationId === null ? null : 7 }, conversations, isAll);
  expect([over("c3", true), over("c3", false)]).toEqual([true, false]);
  expect([over("left", true), over("left", false)]).toEqual([true, false]);
  expect(over("c1", true)).toBe(false);
  // A test tells of none.
  expect(over(null, true)).toBe(false);
});
