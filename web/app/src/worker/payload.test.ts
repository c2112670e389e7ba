import { expect, test } from "vitest";
import { pathWithin, toldIn } from "./payload";

const ORIGIN = "https://chat.example.org";
const general = { newMessages: "New messages", newMessagesText: "Open it." };
const told = (payload: unknown) => toldIn(typeof payload === "string" ? payload : JSON.stringify(payload), ORIGIN, general);

test("what_the_server_says_is_taken_as_it_is", () => {
  const payload = { kind: "message", title: "Ana", body: "Hola", badge: 3, conversationId: "c1", messageId: "m1", seq: 7, link: "/c/c1?m=m1", sentAt: 5, silent: true };
  expect(told(payload)).toEqual({ kind: "message", title: "Ana", body: "Hola", badge: 3, conversationId: "c1", seq: 7, link: "/c/c1?m=m1", sentAt: 5, silent: true });
});

test("the_time_is_read_in_either_form", () => {
  expect(told({ kind: "message", title: "Ana", sentAt: 1_700_000_000_000 }).sentAt).toBe(1_700_000_000_000);
  expect(told({ kind: "message", title: "Ana", sentAt: "2023-11-14T22:13:20.000Z" }).sentAt).toBe(1_700_000_000_000);
  expect(told({ kind: "message", title: "Ana", sentAt: "yesterday" }).sentAt).toBeNull();
});

test("whatever_else_came_there_is_something_to_show", () => {
  const plain = { kind: "unknown", title: "New messages", body: "Open it.", badge: null, conversationId: null, seq: null, link: "/", sentAt: null, silent: false };
  for (const text of ["", "{", "null", "7", "[]", "\"text\"", "<html>", "{\"title\": 5, \"badge\": -1, \"seq\": \"x\", \"link\": {}}"]) expect(told(text)).toEqual(plain);
  expect(toldIn(null, ORIGIN, general)).toEqual(plain);
});

test("a_notification_without_content_says_no_more_than_its_title", () => {
  expect(told({ kind: "message", title: "Tertulia", conversationId: "c1" })).toMatchObject({ title: "Tertulia", body: "", link: "/c/c1" });
});

test("a_test_leads_to_the_settings_and_is_of_no_conversation", () => {
  expect(told({ kind: "test", title: "It works", conversationId: "c1", link: "/c/c1" })).toMatchObject({ link: "/settings", conversationId: null });
});

test("a_link_leads_nowhere_but_into_the_app", () => {
  for (const link of ["https://elsewhere.example/c/1", "//elsewhere.example", "javascript:alert(1)", "data:text/html,x", "\\\\elsewhere.example", "/.//elsewhere.example/x", `${ORIGIN}//elsewhere.example/x`, 5, null]) expect(pathWithin(ORIGIN, link)).toBeNull();
  expect(pathWithin(ORIGIN, "/c/1?m=2")).toBe("/c/1?m=2");
  expect(pathWithin(ORIGIN, `${ORIGIN}/c/1`)).toBe("/c/1");
  expect(told({ kind: "message", title: "x", conversationId: "a/b", link: "https://elsewhere.example" }).link).toBe("/c/a%2Fb");
});
