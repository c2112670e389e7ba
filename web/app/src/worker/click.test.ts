import { expect, test, vi } from "vitest";
import { onClick, open } from "./click";
import { ORIGIN, pretend, pretendKept, PretendWindow } from "./pretend";

function notification(data: object = { link: "/c/c1?m=m1", conversationId: "c1", seq: 1 }) {
  return { data, close: vi.fn() } as unknown as Notification;
}

test("a_click_leads_into_a_window_that_is_open", async () => {
  const [asleep, awake] = [new PretendWindow(), new PretendWindow().at(null, false)];
  const { scope, opened } = pretend({ windows: [asleep, awake] });
  const clicked = notification();
  await onClick(scope, pretendKept(), { notification: clicked, action: "" });
  expect(clicked.close).toHaveBeenCalled();
  expect(awake.wasFocused).toBe(true);
  expect(awake.heard.at(-1)).toEqual({ t: "open", link: "/c/c1?m=m1" });
  expect(asleep.wasFocused).toBe(false);
  expect(opened).toEqual([]);
});

test("without_a_window_one_is_opened", async () => {
  const { scope, opened } = pretend();
  await onClick(scope, pretendKept(), { notification: notification(), action: "" });
  expect(opened).toEqual(["/c/c1?m=m1"]);
});

test("a_page_that_is_not_the_app_is_left_alone", async () => {
  const docs = new PretendWindow();
  docs.url = `${ORIGIN}/docs`;
  const { scope, opened } = pretend({ windows: [docs] });
  await open(scope, "/c/c1");
  expect(docs.heard).toEqual([]);
  expect(opened).toEqual(["/c/c1"]);
});

test("a_window_that_does_not_wake_up_is_given_up", async () => {
  vi.useFakeTimers();
  try {
    const { scope, opened } = pretend({ windows: [new PretendWindow()] });
    const opening = open(scope, "/c/c1");
    await vi.advanceTimersByTimeAsync(10_000);
    await opening;
    expect(opened).toEqual(["/c/c1"]);
  } finally {
    vi.useRealTimers();
  }
});

test("the_window_that_somebody_sees_is_taken_before_others", async () => {
  const [hidden, seen] = [new PretendWindow().at("c1", false), new PretendWindow().at(null, true)];
  const { scope } = pretend({ windows: [hidden, seen] });
  await open(scope, "/c/c1");
  expect([hidden.wasFocused, seen.wasFocused]).toEqual([false, true]);
});

test("a_button_without_a_field_leads_to_where_one_can_write", async () => {
  const { scope, opened, asked } = pretend();
  for (const reply of [null, undefined, "", "  "]) await onClick(scope, pretendKept({ account: "ana" }), { notification: notification(), action: "reply", reply });
  expect(opened.length).toBe(4);
  expect(asked).toEqual([]);
});
