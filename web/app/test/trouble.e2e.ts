import { expect, test } from "vitest";
import { Device, eventually, Person, useBrowser } from "./people.ts";

useBrowser();

const banner = (page: Device["page"]) => page.getByTestId("banner");

test("a_browser_without_files_chats_and_says_that_nothing_is_kept", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "hello");
  // What the page may not do, but a test may: another worker around the app's own.
  const device = await Device.new({ bypassCSP: true, serviceWorkers: "block" });
  await device.context.addInitScript(() => {
    const Real = Worker;
    globalThis.Worker = class extends Real {
      constructor(url: string | URL, options?: WorkerOptions) {
        const without = `import ${JSON.stringify(String(new URL(url, location.href)))};\ndelete StorageManager.prototype.getDirectory;`;
        super(URL.createObjectURL(new Blob([without], { type: "text/javascript" })), options);
      }
    };
  });
  await device.signIn(ana, `/c/${dm}`);
  await device.message("hello").waitFor();
  await banner(device.page).filter({ hasText: "kept in memory alone" }).waitFor();
  await device.write("said all the same");
  await device.status("said all the same", "sent").waitFor();
  expect((await bruno.history(dm)).map((one) => one.body)).toEqual(["hello", "said all the same"]);
});

test("a_tab_that_is_older_than_another_one_asks_to_be_loaded_again_and_goes_on_then", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  const device = await (await Device.new()).signIn(ana, `/c/${dm}`);
  await device.write("before");
  await device.status("before", "sent").waitFor();
  // The words by which versions settle who leads never change: a newer tab says these.
  await device.page.evaluate(() => {
    const bus = new BroadcastChannel("tertulia:default");
    const newer = { id: crypto.randomUUID(), version: 1e9 };
    bus.onmessage = ({ data }) => data.t === "leader" && bus.postMessage({ ...newer, t: "handOver", id: data.id });
    bus.postMessage({ ...newer, t: "who" });
  });
  await banner(device.page).filter({ hasText: "A new version is ready." }).waitFor();
  expect(await device.message("before").isVisible(), "what was shown is still there").toBe(true);
  await banner(device.page).getByRole("button", { name: "Reload" }).click();
  await eventually("no banner", async () => (await banner(device.page).textContent()) === "");
  await device.write("after");
  await device.status("after", "sent").waitFor();
});

test("a_device_keeps_the_messages_of_its_account_from_another_one_that_signs_in", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "for Ana");
  const device = await (await Device.new()).signIn(ana, `/c/${dm}`);
  await device.message("for Ana").waitFor();
  await device.goOffline();
  await banner(device.page).filter({ hasText: /No connection|Can’t reach/ }).waitFor();
  device.link.mend();
  await device.context.setOffline(false);
  await eventually("the other session", () => device.page.evaluate(async ([email, password]) => {
    const answer = await fetch("/auth/login", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ email, password }) });
    return answer.ok;
  }, [bruno.email, bruno.password] as const).catch(() => false));
  await device.page.reload();
  await banner(device.page).filter({ hasText: "of another account" }).waitFor();
  await device.message("for Ana").waitFor();
  await banner(device.page).getByRole("button", { name: "Log out" }).click();
  await device.page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
  await device.page.getByRole("heading", { name: "Sign in", exact: true }).waitFor();
  expect(await device.page.getByText("for Ana").count()).toBe(0);
});

test("of_two_tabs_one_is_closed_and_the_other_goes_on", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  const device = await (await Device.new()).signIn(ana, `/c/${dm}`);
  await device.write("from the first");
  const second = await device.context.newPage();
  device.watch(second);
  await second.goto(`/c/${dm}`);
  const composer = second.getByRole("textbox", { name: "Write a message" });
  await second.getByRole("article", { name: /from the first/ }).waitFor();
  await composer.fill("from the second");
  await composer.press("Enter");
  await device.message("from the second").waitFor();
  await device.page.close();
  await composer.fill("alone now");
  await composer.press("Enter");
  await second.getByRole("article", { name: /alone now/ }).locator("[data-status=sent]").waitFor();
  await bruno.send(dm, "and back");
  await second.getByRole("article", { name: /and back/ }).waitFor();
  expect((await bruno.history(dm)).map((one) => one.body)).toEqual(["from the first", "from the second", "alone now", "and back"]);
});

test("a_conversation_is_muted_and_hidden_and_comes_back_with_something_new", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "one");
  const { page } = await (await Device.new()).signIn(ana, `/c/${dm}`);
  const item = page.getByRole("navigation").getByRole("link", { name: "Bruno" });
  await page.getByRole("button", { name: "Details", exact: true }).click();
  await page.getByRole("button", { name: "Mute", exact: true }).click();
  // What arrives meanwhile draws the page anew, and leaves the menu where it is.
  await bruno.send(dm, "while the menu is open");
  await item.filter({ hasText: "while the menu is open" }).waitFor();
  await page.getByRole("menuitem", { name: "For 8 hours" }).click();
  await item.getByRole("img", { name: "Muted" }).waitFor();
  await eventually("the mute with the server", async () => {
    const { mutedUntil } = await ana.api<{ mutedUntil: string | null }>("GET", `/conversations/${dm}`);
    return mutedUntil !== null;
  });
  await page.getByRole("button", { name: "Unmute" }).click();
  await item.getByRole("img", { name: "Muted" }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Hide conversation" }).click();
  await item.waitFor({ state: "detached" });
  await bruno.send(dm, "two");
  await item.filter({ hasText: "two" }).waitFor();
});

test("a_session_is_ended_from_another_device_which_then_asks_to_sign_in", async () => {
  const ana = await Person.named("Ana");
  const lost = await (await Device.new()).signIn(ana);
  const here = await (await Device.new()).signIn(ana, "/settings");
  const end = here.page.getByRole("button", { name: "Sign out this device" });
  // The account was made over REST: that is a session too.
  await eventually("all sessions", async () => (await end.count()) >= 2);
  while ((await end.count()) > 0) {
    const before = await end.count();
    await end.first().click();
    await eventually("one less", async () => (await end.count()) < before);
  }
  await banner(lost.page).filter({ hasText: "Your session has ended" }).waitFor();
  await banner(lost.page).getByRole("button", { name: "Sign in" }).click();
  const dialog = lost.page.getByRole("dialog");
  await dialog.getByLabel("Password", { exact: true }).fill(ana.password);
  await dialog.getByRole("button", { name: "Sign in", exact: true }).click();
  await eventually("no banner", async () => (await banner(lost.page).textContent()) === "");
  expect(await banner(here.page).textContent()).toBe("");
});

test("who_is_blocked_can_write_again_once_that_is_taken_back", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "hello");
  const here = await (await Device.new()).signIn(ana, `/c/${dm}`);
  const there = await (await Device.new()).signIn(bruno, `/c/${dm}`);
  await here.page.getByRole("button", { name: "Details", exact: true }).click();
  await here.page.getByRole("button", { name: "Block", exact: true }).click();
  await here.page.getByRole("dialog").getByRole("button", { name: "Block" }).click();
  await here.page.getByText("Bruno is blocked.").waitFor();
  await there.write("are you there?");
  await there.status("are you there?", "failed").waitFor();
  await here.page.goto("/settings");
  await here.page.getByRole("button", { name: "Unblock" }).click();
  await here.page.getByText("You have blocked nobody.").waitFor();
  await there.message("are you there?").getByRole("button", { name: /Try again|Retry/ }).click();
  await there.status("are you there?", "sent").waitFor();
  expect((await ana.history(dm)).map((one) => one.body)).toEqual(["hello", "are you there?"]);
});

test("a_page_makes_nothing_of_text_and_runs_no_script_but_the_apps_own", async () => {
  const ana = await Person.named("Ana");
  const device = await (await Device.new()).signIn(ana, "/settings");
  const refused = await device.page.evaluate(() => {
    const tries: Record<string, () => unknown> = {
      markup: () => (document.createElement("div").innerHTML = "<img src=x onerror=alert(1)>"),
      document: () => document.write("<p>"),
      elsewhere: () => new Worker("https://example.org/assets/worker.js"),
      "another path": () => new Worker("/api/v1/me"),
      "another policy": () => (globalThis as unknown as { trustedTypes: { createPolicy(name: string, rules: object): void } }).trustedTypes.createPolicy("other", {}),
    };
    return Object.entries(tries).filter(([, run]) => {
      try {
        run();
        return false;
      } catch {
        return true;
      }
    }).map(([name]) => name);
  });
  expect(refused).toEqual(["markup", "document", "elsewhere", "another path", "another policy"]);
  // They were meant, and each is said twice; what the app itself does is none.
  const isMeant = (fault: string) => /TrustedHTML|TrustedTypePolicy|violation: (require-trusted-types-for|trusted-types)/.test(fault);
  await eventually("the refusals in the log", async () => device.faults.filter(isMeant).length === 6);
  device.faults.splice(0, device.faults.length, ...device.faults.filter((fault) => !isMeant(fault)));
  await device.page.reload();
  await device.page.getByRole("heading", { name: "Settings" }).waitFor();
});
