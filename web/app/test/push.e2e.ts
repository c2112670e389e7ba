import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { Device, eventually, Person, useBrowser } from "./people.ts";
import { PushLine } from "./push.ts";
import { GRANTED, PushService } from "./pushService.ts";

useBrowser();

let service: PushService;

beforeAll(async () => {
  service = await PushService.start(inject("certificate"));
});
afterAll(() => service.close());

/** A browser whose person wants to be notified. */
async function notified(): Promise<Device> {
  const device = await Device.new(GRANTED);
  await service.serve(device.context);
  return device;
}

async function two() {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  return { ana, bruno, dm: await ana.dm(bruno) };
}

function message(conversationId: string, seq: number, body: string, messageId?: string) {
  const link = `/c/${conversationId}${messageId === undefined ? "" : `?m=${messageId}`}`;
  return { kind: "message", title: "Bruno", body, badge: 1, conversationId, messageId, seq, link, sentAt: Date.now(), silent: false };
}

test("pushes_are_shown_one_for_each_conversation", async () => {
  const { ana, dm } = await two();
  const here = await (await notified()).signIn(ana);
  const line = await PushLine.of(here);
  for (const seq of [1, 2, 3]) await line.deliver(message(dm, seq, `number ${seq}`));
  await line.deliver(message("01890a5d-ac96-774b-bcce-b302099a8057", 1, "elsewhere"));
  await line.showsOne("01890a5d-ac96-774b-bcce-b302099a8057", "elsewhere");
  expect(await line.showsOne(dm, "number 3")).toEqual({ title: "Bruno", body: "number 3", tag: dm, silent: false, renotify: true, link: `/c/${dm}`, actions: ["reply"] });
  expect((await line.shown()).length).toBe(2);
});

test("whatever_is_pushed_something_is_shown_in_the_language_of_the_app", async () => {
  const ana = await Person.named("Ana");
  const here = await (await notified()).signIn(ana, "/settings");
  await here.page.getByRole("radio", { name: "Español" }).check();
  await here.page.getByRole("heading", { name: "Ajustes" }).waitFor();
  const line = await PushLine.of(here);
  for (const text of ["", "not JSON", "{\"kind\":\"message\"}", "[]"]) await line.deliver(text);
  await eventually("a notification", async () => (await line.shown()).length === 2);
  expect((await line.shown()).map(({ title, body, link }) => ({ title, body, link }))).toEqual([
    { title: "Mensajes nuevos", body: "Abre Tertulia para leerlos.", link: "/" },
    { title: "Mensajes nuevos", body: "Abre Tertulia para leerlos.", link: "/" },
  ]);
});

test("what_is_before_ones_eyes_makes_no_noise_and_goes_when_it_is_read", async () => {
  const { ana, bruno, dm } = await two();
  const other = await ana.group("Others", [bruno]);
  await bruno.send(dm, "first");
  const here = await (await notified()).signIn(ana, `/c/${dm}`);
  await here.message("first").waitFor();
  const line = await PushLine.of(here);
  await line.deliver(message(other, 9, "over there"));
  expect(await line.showsOne(other, "over there")).toMatchObject({ silent: false });
  // The next message, a moment before it is here.
  await line.deliver(message(dm, 2, "second"));
  expect(await line.showsOne(dm, "second")).toMatchObject({ silent: true, renotify: false });
  await bruno.send(dm, "second");
  await here.message("second").waitFor();
  await eventually("nothing of this conversation", async () => (await line.shown()).every((one) => one.tag === other));
  // What was read already does not stay either.
  await line.deliver(message(dm, 1, "first"));
  await eventually("nothing of this conversation", async () => (await line.shown()).every((one) => one.tag === other));
});

test("what_was_shown_of_a_group_goes_when_its_person_has_to_go", async () => {
  const { ana, bruno, dm } = await two();
  const [open, closed] = [await bruno.group("Open", [ana]), await bruno.group("Closed", [ana])];
  const here = await (await notified()).signIn(ana);
  const line = await PushLine.of(here);
  await here.page.getByRole("link", { name: /Closed/ }).waitFor();
  for (const group of [open, closed, dm]) {
    await line.deliver(message(group, 1, `in ${group}`));
    await line.showsOne(group, `in ${group}`);
  }
  const shown = async () => (await line.shown()).map((one) => one.tag).sort();
  await bruno.api("DELETE", `/conversations/${open}/members/${ana.id}`);
  await eventually("nothing of it", async () => (await shown()).join() === [closed, dm].sort().join());
  await here.page.goto("about:blank");
  await bruno.api("DELETE", `/conversations/${closed}/members/${ana.id}`);
  expect(await shown()).toEqual([closed, dm].sort());
  await here.page.goto("/");
  await eventually("what is still hers", async () => (await shown()).join() === dm);
});

test("a_second_page_leaves_what_is_not_read_on_the_screen", async () => {
  const { ana, bruno, dm } = await two();
  await bruno.send(dm, "first");
  const here = await (await notified()).signIn(ana);
  await here.page.getByRole("link", { name: /Bruno/ }).waitFor();
  const line = await PushLine.of(here);
  await line.deliver(message(dm, 1, "first"));
  await line.showsOne(dm, "first");
  const second = await here.context.newPage();
  await second.goto("/");
  await second.getByRole("link", { name: /Bruno/ }).waitFor();
  expect((await line.shown()).map((one) => one.tag)).toEqual([dm]);
  await second.close();
});

test("a_click_leads_the_open_window_to_the_message", async () => {
  const { ana, bruno, dm } = await two();
  const sent = await bruno.send(dm, "look at this");
  await bruno.send(dm, "and this");
  const here = await (await notified()).signIn(ana, "/settings");
  const line = await PushLine.of(here);
  await line.deliver(message(dm, 1, "look at this", sent));
  await line.showsOne(dm, "look at this");
  expect(await line.click(dm)).toEqual([]);
  await here.message("look at this").waitFor();
  expect(new URL(here.page.url()).pathname).toBe(`/c/${dm}`);
  expect(here.context.pages().length).toBe(1);
  expect(await line.shown()).toEqual([]);
  await here.page.goBack();
  await here.page.getByRole("heading", { name: "Settings" }).waitFor();
});

test("a_click_opens_the_app_where_it_is_closed", async () => {
  const { ana, bruno, dm } = await two();
  const sent = await bruno.send(dm, "good morning");
  const here = await (await notified()).signIn(ana);
  const line = await PushLine.of(here);
  await here.page.goto("about:blank");
  await line.deliver(message(dm, 1, "good morning", sent));
  await line.showsOne(dm, "good morning");
  const opened = await line.click(dm);
  expect(opened).toEqual([`/c/${dm}?m=${sent}`]);
  await here.page.goto(opened[0] ?? "");
  await here.message("good morning").waitFor();
  await eventually("the plain address", async () => here.page.url().endsWith(`/c/${dm}`));
});

test("an_answer_in_a_notification_goes_by_the_outbox_of_the_open_app", async () => {
  const { ana, bruno, dm } = await two();
  await bruno.send(dm, "shall we?");
  const here = await (await notified()).signIn(ana, "/settings");
  await here.page.getByRole("navigation").getByRole("link", { name: /Bruno/ }).waitFor();
  const line = await PushLine.of(here);
  await line.deliver(message(dm, 1, "shall we?"));
  await line.showsOne(dm, "shall we?");
  await here.goOffline();
  expect(await line.click(dm, { action: "reply", reply: " gladly " })).toEqual([]);
  await here.page.getByTestId("banner").filter({ hasText: "1 message is waiting." }).waitFor();
  expect(await line.shown()).toEqual([]);
  await here.goOnline();
  await eventually("the answer", async () => (await bruno.history(dm)).length === 2);
  expect((await bruno.history(dm)).map((one) => one.body)).toEqual(["shall we?", "gladly"]);
});

test("an_answer_in_a_notification_is_sent_while_the_app_is_closed", async () => {
  const { ana, bruno, dm } = await two();
  await bruno.send(dm, "shall we?");
  const here = await (await notified()).signIn(ana);
  await here.page.getByRole("link", { name: /Bruno/ }).waitFor();
  const line = await PushLine.of(here);
  await here.page.goto("about:blank");
  await line.deliver(message(dm, 1, "shall we?"));
  await line.showsOne(dm, "shall we?");
  await line.click(dm, { action: "reply", reply: "gladly" });
  expect((await bruno.history(dm)).map((one) => [one.body, one.senderId])).toEqual([["shall we?", bruno.id], ["gladly", ana.id]]);
  await here.page.goto(`/c/${dm}`);
  await here.status("gladly", "sent").waitFor();
  expect((await bruno.history(dm)).length).toBe(2);
});

test("an_answer_without_a_network_waits_and_is_sent_once", async () => {
  const { ana, bruno, dm } = await two();
  await bruno.send(dm, "shall we?");
  const here = await (await notified()).signIn(ana);
  await here.page.getByRole("link", { name: /Bruno/ }).waitFor();
  const line = await PushLine.of(here);
  await here.page.goto("about:blank");
  for (const [at, body] of ["one", "two"].entries()) {
    await line.deliver(message(dm, at + 1, body));
    await line.showsOne(dm, body);
    here.link.cut();
    await line.click(dm, { action: "reply", reply: `answer ${body}` });
    here.link.mend();
    expect((await bruno.history(dm)).length).toBe(at + 1);
    if (at === 0) {
      await line.sync("replies");
      await eventually("the answer", async () => (await bruno.history(dm)).length === 2);
    }
  }
  // The second one waits for the app.
  await here.page.goto(`/c/${dm}`);
  await here.status("answer two", "sent").waitFor();
  await line.sync("replies");
  await line.deliver(message(dm, 1, "again"));
  await here.page.reload();
  await here.status("answer two", "sent").waitFor();
  expect((await bruno.history(dm)).map((one) => one.body)).toEqual(["shall we?", "answer one", "answer two"]);
});

test("an_answer_that_is_refused_says_so_and_waits_in_the_app", async () => {
  const { ana, bruno, dm } = await two();
  await bruno.send(dm, "shall we?");
  const here = await (await notified()).signIn(ana);
  await here.page.getByRole("link", { name: /Bruno/ }).waitFor();
  const line = await PushLine.of(here);
  await here.page.goto("about:blank");
  await line.deliver(message(dm, 1, "shall we?"));
  await line.showsOne(dm, "shall we?");
  await bruno.api("PUT", `/users/${ana.id}/block`);
  await line.click(dm, { action: "reply", reply: "gladly" });
  const told = await line.showsOne(`reply ${dm}`, "Open the conversation to see why.");
  expect(told).toMatchObject({ title: "Your answer was not sent", link: `/c/${dm}` });
  await here.page.goto(told.link);
  await here.status("gladly", "failed").waitFor();
});
