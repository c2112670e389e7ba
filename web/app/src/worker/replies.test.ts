import { expect, test } from "vitest";
import { pretend, pretendKept, PretendWindow } from "./pretend";
import { answer, deliver } from "./replies";

const json = (body: object, status = 200) => new Response(JSON.stringify(body), { status });

/** A server where `who` is signed in and sending is answered so. */
function server(who: string | null, status: number | "away") {
  return async (path: string) => {
    if (status === "away") throw new TypeError("Failed to fetch");
    if (path === "/api/v1/me") return who === null ? json({}, 401) : json({ id: who });
    return json({}, status);
  };
}

const sends = (asked: { path: string; body: unknown }[]) => asked.filter(({ path }) => path.endsWith("/messages"));

test("an_answer_goes_into_the_outbox_of_an_open_window", async () => {
  const window = new PretendWindow({ reply: () => true });
  const { scope, asked } = pretend({ windows: [window] });
  const kept = pretendKept({ account: "ana" });
  expect(await answer(scope, kept, "c1", "yes")).toBe(true);
  expect(window.heard).toMatchObject([{ t: "reply", reply: { account: "ana", conversationId: "c1", body: "yes" } }]);
  expect(await kept.replies()).toEqual([]);
  expect(asked).toEqual([]);
});

test("without_a_window_it_is_sent_once_under_one_name", async () => {
  const { scope, asked } = pretend({ answer: server("ana", 201) });
  const kept = pretendKept({ account: "ana" });
  expect(await answer(scope, kept, "c1", "yes")).toBe(true);
  expect(sends(asked)).toMatchObject([{ path: "/api/v1/conversations/c1/messages", body: { body: "yes" } }]);
  expect(await kept.replies()).toEqual([]);
});

test("a_window_of_somebody_else_does_not_take_it", async () => {
  const window = new PretendWindow({ reply: () => false });
  const { scope, asked } = pretend({ windows: [window], answer: server("ana", 201) });
  expect(await answer(scope, pretendKept({ account: "ana" }), "c1", "yes")).toBe(true);
  expect(sends(asked).length).toBe(1);
});

test("what_could_not_be_sent_waits_under_its_name_and_the_browser_is_asked_to_wake_us", async () => {
  for (const trouble of ["away", 500, 503, 429, 401, 408] as const) {
    const { scope, synced } = pretend({ answer: server("ana", trouble) });
    const kept = pretendKept({ account: "ana" });
    expect(await answer(scope, kept, "c1", "yes")).toBe(true);
    const [waiting] = await kept.replies();
    expect(waiting).toMatchObject({ body: "yes", isRefused: false });
    expect(synced).toEqual(["replies"]);

    const later = pretend({ answer: server("ana", 200) });
    expect(await deliver(later.scope, kept)).toBe(true);
    expect(sends(later.asked)).toMatchObject([{ body: { clientMsgId: waiting?.name, body: "yes" } }]);
    expect(await kept.replies()).toEqual([]);
  }
});

test("a_browser_without_background_sync_keeps_it_as_well", async () => {
  const { scope } = pretend({ answer: server("ana", "away"), syncs: false });
  const kept = pretendKept({ account: "ana" });
  expect(await answer(scope, kept, "c1", "yes")).toBe(true);
  expect((await kept.replies()).length).toBe(1);
});

test("what_the_server_refuses_is_told_kept_for_the_app_and_not_sent_again", async () => {
  const { scope, shown, synced, asked } = pretend({ answer: server("ana", 403) });
  const kept = pretendKept({ account: "ana", language: "es" });
  expect(await answer(scope, kept, "c1", "yes")).toBe(true);
  expect(shown).toMatchObject([{ title: "Tu respuesta no se envió", data: { link: "/c/c1" } }]);
  expect(await kept.replies()).toMatchObject([{ isRefused: true }]);
  expect(synced).toEqual([]);
  expect(await deliver(scope, kept)).toBe(true);
  expect(sends(asked).length).toBe(1);
});

test("nothing_is_sent_in_the_name_of_another", async () => {
  const { scope, asked } = pretend({ answer: server("bruno", 201) });
  const kept = pretendKept({ account: "ana" });
  await answer(scope, kept, "c1", "yes");
  expect(sends(asked)).toEqual([]);
  expect((await kept.replies()).length).toBe(1);
});

test("several_that_wait_go_in_their_order", async () => {
  const kept = pretendKept({ account: "ana" });
  for (const at of [2, 1, 3]) await kept.keep({ name: `n${at}`, account: "ana", conversationId: "c1", body: `${at}`, at, isRefused: false });
  const { scope, asked } = pretend({ answer: server("ana", 200) });
  await deliver(scope, kept);
  expect(sends(asked).map(({ body }) => (body as { body: string }).body)).toEqual(["1", "2", "3"]);
});

test("where_nobody_is_known_or_nothing_can_be_kept_the_person_is_asked_again", async () => {
  const { scope, asked } = pretend();
  expect(await answer(scope, pretendKept(), "c1", "yes")).toBe(false);
  const full = { ...pretendKept({ account: "ana" }), keep: () => Promise.reject(new DOMException("full", "QuotaExceededError")) };
  expect(await answer(scope, full, "c1", "yes")).toBe(false);
  expect(asked).toEqual([]);
});
