import { expect, test, vi } from "vitest";
import { pretend, pretendKept, PretendWindow } from "./pretend";
import { onPush } from "./push";

function message(seq: number, more: object = {}): string {
  return JSON.stringify({ kind: "message", title: "Ana", body: `number ${seq}`, badge: seq, conversationId: "c1", seq, link: `/c/c1?m=m${seq}`, silent: false, ...more });
}

test("what_is_told_of_one_conversation_stands_in_one_place", async () => {
  const { scope, shown, badges } = pretend();
  for (const seq of [1, 2]) await onPush(scope, pretendKept(), message(seq));
  await onPush(scope, pretendKept(), message(1, { conversationId: "c2" }));
  expect(shown.map(({ tag, body, silent, renotify }) => ({ tag, body, silent, renotify }))).toEqual([
    { tag: "c1", body: "number 2", silent: false, renotify: true },
    { tag: "c2", body: "number 1", silent: false, renotify: true },
  ]);
  expect(shown[0]?.data).toEqual({ link: "/c/c1?m=m2", conversationId: "c1", seq: 2 });
  expect(shown[0]?.actions).toMatchObject([{ action: "reply", type: "text" }]);
  expect(badges).toEqual([1, 2, 1]);
});

test("a_notification_that_comes_late_does_not_take_the_place_of_a_newer_one", async () => {
  const { scope, shown, badges } = pretend();
  await onPush(scope, pretendKept(), message(5));
  await onPush(scope, pretendKept(), message(4));
  expect(shown).toMatchObject([{ body: "number 5", data: { seq: 5 }, silent: true, renotify: false }]);
  // The same once more, as providers do now and then: by now it may count what came elsewhere.
  await onPush(scope, pretendKept(), message(5, { badge: 7 }));
  expect(badges).toEqual([5, 7]);
});

test("a_second_test_is_heard_like_the_first", async () => {
  const { scope, shown } = pretend();
  const tried = JSON.stringify({ kind: "test", title: "It works", seq: 0, silent: false });
  for (let times = 0; times < 2; times++) await onPush(scope, pretendKept(), tried);
  expect(shown).toMatchObject([{ title: "It works", silent: false, renotify: true }]);
});

test("of_pushes_that_come_together_the_newest_is_shown_last", async () => {
  const { scope, shown } = pretend();
  let goOn = () => {};
  const held = new Promise<void>((done) => (goOn = done));
  const slow = { ...pretendKept(), known: () => held.then(() => pretendKept().known()) };
  const both = [onPush(scope, slow, message(1)), onPush(scope, pretendKept(), message(2))];
  goOn();
  await Promise.all(both);
  expect(shown).toMatchObject([{ body: "number 2", data: { seq: 2 }, silent: false, renotify: true }]);
});

test("nothing_makes_a_noise_about_what_is_before_ones_eyes", async () => {
  for (const [window, silent] of [
    [new PretendWindow().at("c1", true), true],
    [new PretendWindow().at("c2", true), false],
    [new PretendWindow().at("c1", false), false],
    [new PretendWindow(), false],
  ] as const) {
    const { scope, shown } = pretend({ windows: [window] });
    await onPush(scope, pretendKept(), message(1));
    expect(shown).toMatchObject([{ silent, renotify: !silent }]);
    expect(window.heard.at(-1)).toEqual({ t: "shown" });
  }
});

test("what_cannot_be_read_is_told_in_the_language_of_the_app", async () => {
  const { scope, shown, badges } = pretend();
  await onPush(scope, pretendKept({ language: "es" }), "garbage");
  await onPush(scope, pretendKept({ language: "es" }), null);
  expect(shown).toMatchObject([{ title: "Mensajes nuevos", body: "Abre Tertulia para leerlos." }]);
  expect(badges).toEqual([]);
});

test("nothing_that_fails_keeps_a_notification_from_being_shown", async () => {
  const { scope, shown } = pretend();
  const broken = () => Promise.reject(new Error("broken"));
  const parts = scope as unknown as Record<"clients" | "navigator" | "registration", Record<string, unknown>>;
  parts.clients["matchAll"] = broken;
  parts.navigator["setAppBadge"] = broken;
  parts.registration["getNotifications"] = broken;
  await onPush(scope, { ...pretendKept(), known: broken }, message(1));
  expect(shown).toMatchObject([{ title: "Ana", body: "number 1" }]);
});

test("nothing_that_never_answers_keeps_a_notification_from_being_shown", async () => {
  vi.useFakeTimers();
  const { scope, shown } = pretend();
  const never = () => new Promise<never>(() => {});
  const parts = scope as unknown as Record<"clients" | "registration", Record<string, unknown>>;
  parts.clients["matchAll"] = never;
  parts.registration["getNotifications"] = never;
  const done = onPush(scope, { ...pretendKept(), known: never }, message(1));
  await vi.advanceTimersByTimeAsync(5000);
  await done;
  vi.useRealTimers();
  expect(shown).toMatchObject([{ title: "Ana", body: "number 1" }]);
});

test("a_browser_that_knows_fewer_options_shows_it_without_them", async () => {
  const { scope, shown } = pretend();
  const registration = scope.registration as unknown as { showNotification(title: string, options: object): Promise<void> };
  const showing = registration.showNotification;
  registration.showNotification = (title, options) => ("actions" in options ? Promise.reject(new TypeError("actions")) : showing(title, options));
  await onPush(scope, pretendKept(), message(1));
  expect(shown).toMatchObject([{ title: "Ana", tag: "c1", data: { link: "/c/c1?m=m1" } }]);
});

test("a_badge_of_nothing_is_none", async () => {
  const { scope, badges } = pretend();
  await onPush(scope, pretendKept(), message(1, { badge: 0 }));
  expect(badges).toEqual([0]);
});
