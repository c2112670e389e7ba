import type { Message } from "@tertulia/client";
import { expect, test } from "vitest";
import { noWindow, rowsOf, windowOf } from "./rows";

const noon = new Date(2026, 2, 3, 12).getTime();
const MINUTE = 60_000;

function message(key: number, more: Partial<Message> = {}): Message {
  return {
    key, conversationId: "c", seq: key, id: `m${key}`, name: `n${key}`, senderId: "ana", senderName: "Ana", senderAvatar: null, body: `body ${key}`,
    createdAt: noon + key * 1000, replyTo: null, editedAt: null, deletedAt: null, reactions: [], status: null, isChanging: false, gapAbove: false, ...more,
  };
}

test("messages_of_one_person_within_minutes_are_one_run", () => {
  const rows = rowsOf([message(1), message(2), message(3, { senderId: "bob" }), message(4, { senderId: "bob", createdAt: noon + 6 * MINUTE })], "me", null);
  expect(rows.map((row) => [row.first, row.last])).toEqual([[true, false], [false, true], [true, true], [true, true]]);
});

test("each_day_begins_with_its_separator", () => {
  const next = noon + 24 * 60 * MINUTE;
  const rows = rowsOf([message(1), message(2), message(3, { createdAt: next }), message(4, { createdAt: next + 1 })], "me", null);
  expect(rows.map((row) => row.day)).toEqual([noon + 1000, null, next, null]);
});

test("the_marker_stands_above_the_first_unread_message_of_others_and_breaks_a_run", () => {
  const rows = rowsOf([message(1), message(2, { senderId: "me" }), message(3), message(4)], "me", 1);
  expect(rows.map((row) => row.unread)).toEqual([false, false, true, false]);
  const within = rowsOf([message(1), message(2)], "me", 1);
  expect(within[1]).toMatchObject({ unread: true, first: true });
  expect(within[0]).toMatchObject({ last: true });
});

test("what_looks_the_same_stays_the_same_object", () => {
  const before = rowsOf([message(1), message(2, { senderId: "bob" })], "me", null);
  const copies = rowsOf([message(1), message(2, { senderId: "bob" })], "me", null, before);
  expect(copies).toBe(before);
  const edited = rowsOf([message(1, { body: "other", editedAt: noon }), message(2, { senderId: "bob" })], "me", null, before);
  expect(edited[0]).not.toBe(before[0]);
  expect(edited[1]).toBe(before[1]);
  const read = rowsOf([message(1, { status: { state: "read" } }), message(2, { senderId: "bob" })], "me", null, before);
  expect(read[0]).not.toBe(before[0]);
});

test("a_pending_message_keeps_its_row_when_the_log_has_it", () => {
  const pending = rowsOf([message(1, { senderId: "me", seq: null, id: null, status: { state: "pending" } })], "me", null);
  const sent = rowsOf([message(1, { senderId: "me", status: { state: "sent" } })], "me", null, pending);
  expect(sent[0]?.key).toBe(pending[0]?.key);
  expect(windowOf(sent, windowOf(pending, noWindow))).toEqual(windowOf(pending, noWindow));
});

test("a_window_knows_growth_above_from_growth_below_and_from_another_page", () => {
  const of = (...keys: number[]) => rowsOf(keys.map((key) => message(key)), "me", null);
  const start = windowOf(of(5, 6, 7), noWindow);
  expect(start.generation).toBe(1);
  const older = windowOf(of(3, 4, 5, 6, 7), start);
  expect(older).toMatchObject({ shift: true, generation: 1 });
  const newer = windowOf(of(3, 4, 5, 6, 7, 8), older);
  expect(newer).toMatchObject({ shift: false, generation: 1 });
  const discarded = windowOf(of(3, 4, 5, 6, 7), newer);
  expect(discarded).toMatchObject({ shift: false, generation: 1 });
  const elsewhere = windowOf(of(100, 101), discarded);
  expect(elsewhere).toMatchObject({ shift: false, generation: 2 });
});
