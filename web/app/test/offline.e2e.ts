import { expect, test } from "vitest";
import { Device, eventually, Person, useBrowser } from "./people.ts";

useBrowser();

/** The service worker has the shell: what is asked for from now on needs no network. */
async function shellIsKept(device: Device): Promise<void> {
  await device.page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
  await eventually("the precache", () => device.page.evaluate(async () => {
    const names = await caches.keys();
    const name = names.find((one) => one.includes("precache"));
    return name !== undefined && (await (await caches.open(name)).keys()).some((one) => one.url.includes("index.html"));
  }));
}

test("what_is_written_offline_is_shown_at_once_and_delivered_in_order_later", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "before");
  const here = await (await Device.new()).signIn(ana, `/c/${dm}`);
  const there = await (await Device.new()).signIn(bruno, `/c/${dm}`);
  await here.message("before").waitFor();
  await here.goOffline();
  await here.page.getByTestId("banner").filter({ hasText: /No connection|Can’t reach/ }).waitFor();
  for (const text of ["one", "two", "three"]) {
    await here.write(`offline ${text}`);
    await here.status(`offline ${text}`, "pending").waitFor();
  }
  await here.page.getByTestId("banner").filter({ hasText: "3 messages are waiting." }).waitFor();
  expect((await bruno.history(dm)).length).toBe(1);
  await here.goOnline();
  await there.message("offline three").waitFor();
  await here.status("offline three", "read").waitFor();
  await eventually("no banner", async () => (await here.page.getByTestId("banner").textContent()) === "");
  expect((await bruno.history(dm)).map((one) => one.body)).toEqual(["before", "offline one", "offline two", "offline three"]);
});

test("a_message_waiting_can_be_edited_and_taken_back_before_it_goes", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "before");
  const here = await (await Device.new()).signIn(ana, `/c/${dm}`);
  await here.message("before").waitFor();
  await here.goOffline();
  await here.write("with a tpyo");
  await here.write("better not");
  await here.message("better not").waitFor();
  await here.message("better not").click({ button: "right" });
  await here.page.getByRole("menuitem", { name: "Delete" }).click();
  await here.page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await here.page.getByRole("article", { name: /better not/ }).waitFor({ state: "detached" });
  await here.composer.focus();
  await here.page.keyboard.press("ArrowUp");
  expect(await here.composer.inputValue()).toBe("with a tpyo");
  await here.composer.fill("without a typo");
  await here.page.keyboard.press("Enter");
  await here.status("without a typo", "pending").waitFor();
  await here.goOnline();
  await here.status("without a typo", "sent").waitFor();
  expect((await bruno.history(dm)).filter((one) => one.deletedAt === null).map((one) => one.body)).toEqual(["before", "without a typo"]);
});

test("the_app_starts_cold_without_a_network_and_keeps_what_was_written", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "known already");
  const here = await (await Device.new()).signIn(ana, `/c/${dm}`);
  await here.message("known already").waitFor();
  await shellIsKept(here);
  await here.goOffline();
  await here.write("into the dark");
  await here.status("into the dark", "pending").waitFor();
  await here.page.close();

  const page = await here.context.newPage();
  here.watch(page);
  await page.goto(`/c/${dm}`);
  await page.getByRole("article", { name: /known already/ }).waitFor();
  await page.getByRole("article", { name: /into the dark/ }).locator("[data-status=pending]").waitFor();
  await page.goto("/settings");
  await page.getByRole("heading", { name: "Settings" }).waitFor();
  await here.goOnline();
  await eventually("the message in the log", async () => (await bruno.history(dm)).some((one) => one.body === "into the dark"));
  expect((await bruno.history(dm)).length).toBe(2);
});

test("a_reload_at_any_moment_loses_and_repeats_nothing", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "before");
  const here = await (await Device.new()).signIn(ana, `/c/${dm}`);
  await here.message("before").waitFor();
  for (let i = 0; i < 4; i++) {
    await here.write(`round ${i}`);
    await here.message(`round ${i}`).waitFor();
    await here.page.reload();
    await here.message(`round ${i}`).waitFor();
  }
  await here.status("round 3", "sent").waitFor();
  expect((await bruno.history(dm)).map((one) => one.body)).toEqual(["before", "round 0", "round 1", "round 2", "round 3"]);
});

test("the_banner_counts_down_to_the_next_try_and_tries_at_once_when_asked", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  await ana.send(await ana.dm(bruno), "hello");
  const here = await (await Device.new()).signIn(ana);
  await here.open("Bruno");
  await here.message("hello").waitFor();
  here.link.cut();
  const banner = here.page.getByTestId("banner");
  await banner.filter({ hasText: /Next try in \d+ seconds?\./ }).waitFor();
  here.link.mend();
  await banner.getByRole("button", { name: "Try now" }).click();
  await eventually("no banner", async () => (await banner.textContent()) === "");
});

test("what_the_server_refuses_for_good_says_why_and_waits_for_the_person", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "before");
  const here = await (await Device.new()).signIn(ana, `/c/${dm}`);
  await here.message("before").waitFor();
  await bruno.api("PUT", `/users/${ana.id}/block`);
  await here.write("do you hear me?");
  await here.status("do you hear me?", "failed").waitFor();
  await here.message("do you hear me?").getByText(/Not sent\./).waitFor();
  await here.page.getByRole("navigation").getByRole("img", { name: "A message could not be sent" }).waitFor();
  await bruno.api("DELETE", `/users/${ana.id}/block`);
  await here.message("do you hear me?").getByRole("button", { name: "Retry" }).click();
  await here.status("do you hear me?", "sent").waitFor();
  await bruno.api("PUT", `/users/${ana.id}/block`);
  await here.write("and now?");
  await here.status("and now?", "failed").waitFor();
  await here.message("and now?").getByRole("button", { name: "Discard" }).click();
  await here.page.getByRole("article", { name: /and now\?/ }).waitFor({ state: "detached" });
  expect((await ana.history(dm)).map((one) => one.body)).toEqual(["before", "do you hear me?"]);
});
