import { afterAll, beforeAll, beforeEach, expect, inject, test } from "vitest";
import { sizes } from "./axe.ts";
import { Device, eventually, Person, useBrowser } from "./people.ts";
import { PushLine } from "./push.ts";
import { GRANTED, IPHONE, PushService, UNASKED } from "./pushService.ts";

useBrowser();

interface Registered {
  id: string;
  platform: string;
  provider: string;
  deviceId?: string;
  showsContent: boolean;
  registeredAt: string;
  active: boolean;
}

let service: PushService;

beforeAll(async () => {
  service = await PushService.start(inject("certificate"));
});
beforeEach(() => {
  service.status = 201;
});
afterAll(() => service.close());

async function devicesOf(person: Person): Promise<Registered[]> {
  return (await person.api<{ devices: Registered[] }>("GET", "/devices")).devices;
}

/** Registered once and for good: what the app does at its start is over. */
async function oneDevice(person: Person, is: (device: Registered) => boolean = () => true): Promise<Registered> {
  return eventually("one registered device", async () => {
    const all = await devicesOf(person);
    return all.length === 1 && all[0] !== undefined && is(all[0]) && all[0];
  });
}

async function newDevice(options: object): Promise<Device> {
  const device = await Device.new(options);
  await service.serve(device.context);
  return device;
}

const endpoint = ({ page }: Device) => page.evaluate(() => (JSON.parse(localStorage.getItem("test.subscription") ?? "null") as { endpoint: string } | null)?.endpoint ?? null);

test("with_the_permission_a_browser_is_registered_at_each_start", async () => {
  const ana = await Person.named("Ana");
  const here = await (await newDevice(GRANTED)).signIn(ana);
  const first = await oneDevice(ana);
  expect(first).toMatchObject({ platform: "web", provider: "webpush", showsContent: true, active: true });
  expect(first.deviceId).toMatch(/^[0-9a-f-]{36}$/u);
  const subscribed = await endpoint(here);
  await here.page.reload();
  const second = await oneDevice(ana, (device) => device.registeredAt > first.registeredAt);
  expect(second).toMatchObject({ id: first.id, deviceId: first.deviceId });
  expect(await endpoint(here)).toBe(subscribed);
});

test("a_subscription_for_another_key_of_the_server_is_made_anew", async () => {
  const ana = await Person.named("Ana");
  const here = await (await newDevice(GRANTED)).signIn(ana);
  const first = await oneDevice(ana);
  const before = await endpoint(here);
  await here.page.evaluate(() => {
    const kept = JSON.parse(localStorage.getItem("test.subscription") ?? "") as { key: number[] };
    kept.key[5] = (kept.key[5] ?? 0) ^ 1;
    localStorage.setItem("test.subscription", JSON.stringify(kept));
  });
  await here.page.reload();
  await eventually("another subscription", async () => ![null, before].includes(await endpoint(here)));
  // It is the same device to the server, with another token: what waits for it goes there.
  await oneDevice(ana, (device) => device.id === first.id && device.registeredAt > first.registeredAt);
});

test("whoever_logs_out_is_not_notified_there_and_the_next_person_is", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const here = await (await newDevice(GRANTED)).signIn(ana, "/settings");
  const { deviceId } = await oneDevice(ana);
  const line = await PushLine.of(here);
  await line.deliver({ kind: "message", title: "Bruno", body: "for Ana alone", conversationId: "01890a5d-ac96-774b-bcce-b302099a8057", seq: 1 });
  await eventually("a notification", async () => (await line.shown()).length === 1);
  await here.page.getByRole("button", { name: "Log out" }).click();
  await here.page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
  await here.page.getByLabel("E-mail").waitFor();
  await eventually("nothing registered", async () => (await devicesOf(ana)).length === 0);
  expect(await endpoint(here)).toBeNull();
  expect(await line.shown()).toEqual([]);
  await here.signIn(bruno);
  const theirs = await oneDevice(bruno);
  expect(theirs.deviceId).not.toBe(deviceId);
  expect(await devicesOf(ana)).toEqual([]);
});

test("a_session_that_ended_takes_the_registration_with_it_and_the_next_sign_in_brings_it_back", async () => {
  const ana = await Person.named("Ana");
  const here = await (await newDevice(GRANTED)).signIn(ana);
  await oneDevice(ana);
  for (const session of await ana.api<{ id: string; current: boolean }[]>("GET", "/me/sessions")) if (!session.current) await ana.api("DELETE", `/me/sessions/${session.id}`);
  await eventually("nothing registered", async () => (await devicesOf(ana)).length === 0);
  await here.page.getByTestId("banner").getByRole("button", { name: "Sign in" }).click();
  await here.page.getByRole("dialog").getByLabel("Password", { exact: true }).fill(ana.password);
  await here.page.getByRole("dialog").getByRole("button", { name: "Sign in", exact: true }).click();
  await oneDevice(ana);
});

test("nobody_is_asked_before_they_have_written_nor_soon_after_a_no", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "hello");
  const device = await newDevice(UNASKED);
  const asked: string[] = [];
  await device.context.exposeFunction("noteAsked", () => asked.push("asked"));
  await device.context.addInitScript(() => {
    Notification.requestPermission = async () => {
      await (globalThis as unknown as { noteAsked(): Promise<void> }).noteAsked();
      return "default";
    };
  });
  const here = await device.signIn(ana, `/c/${dm}`);
  await here.message("hello").waitFor();
  const offer = here.page.getByTestId("notify-offer");
  expect(await offer.count()).toBe(0);
  await here.write("hello to you");
  await offer.getByText("Be told when somebody writes").waitFor();
  expect(asked).toEqual([]);
  await offer.getByRole("button", { name: "Not now" }).click();
  await offer.waitFor({ state: "detached" });
  await here.page.reload();
  await here.write("and again");
  await here.status("and again", "delivered").or(here.status("and again", "sent")).waitFor();
  expect(await offer.count()).toBe(0);
  // A month later.
  await here.page.evaluate(() => {
    const kept = JSON.parse(localStorage.getItem("tertulia.preferences") ?? "{}") as { askAgainAt: number };
    localStorage.setItem("tertulia.preferences", JSON.stringify({ ...kept, askAgainAt: kept.askAgainAt - 30 * 24 * 3_600_000 }));
  });
  await here.page.goto("/settings");
  await offer.waitFor();
  expect(asked).toEqual([]);
});

test("a_yes_asks_the_browser_and_registers_it", async () => {
  const ana = await Person.named("Ana");
  const device = await newDevice(UNASKED);
  await device.context.exposeFunction("grant", () => device.context.grantPermissions(["notifications"]));
  await device.context.addInitScript(() => {
    Notification.requestPermission = async () => {
      await (globalThis as unknown as { grant(): Promise<void> }).grant();
      return Notification.permission;
    };
  });
  const here = await device.signIn(ana, "/settings");
  await here.page.getByTestId("notify-offer").getByRole("button", { name: "Turn on notifications" }).click();
  await here.page.getByText("Notifications are on.").waitFor();
  await oneDevice(ana);
  expect(await here.page.getByRole("switch", { name: "Notifications on this device" }).isChecked()).toBe(true);
  expect(await here.page.getByTestId("notify-offer").count()).toBe(0);
});

test("on_an_iphone_the_app_has_to_be_installed_first", async () => {
  const ana = await Person.named("Ana");
  const here = await (await newDevice({ ...UNASKED, ...sizes.phone, userAgent: IPHONE })).signIn(ana, "/settings");
  const offer = here.page.getByTestId("notify-offer");
  await offer.getByText(/add Tertulia to the home screen/u).waitFor();
  expect(await offer.getByRole("button").allTextContents()).toEqual(["Not now"]);
  expect(await here.page.getByRole("switch", { name: "Notifications on this device" }).count()).toBe(0);
});

test("whoever_refused_is_told_how_to_undo_it", async () => {
  const ana = await Person.named("Ana");
  const here = await (await newDevice({ permissions: ["clipboard-read"] })).signIn(ana, "/settings");
  await here.page.getByText(/open the site’s settings, and allow notifications/u).waitFor();
  expect(await here.page.getByTestId("notify-offer").count()).toBe(0);
  expect(await devicesOf(ana)).toEqual([]);
});

test("in_the_settings_notifications_are_turned_off_and_on_and_show_no_content", async () => {
  const ana = await Person.named("Ana");
  const here = await (await newDevice(GRANTED)).signIn(ana, "/settings");
  await oneDevice(ana);
  const { page } = here;
  await page.getByRole("switch", { name: "Show who wrote and what" }).uncheck();
  await oneDevice(ana, (device) => !device.showsContent);
  await page.getByText("shows no content").waitFor();
  const isHere = page.getByRole("switch", { name: "Notifications on this device" });
  await isHere.focus();
  await page.keyboard.press("Space");
  await eventually("nothing registered", async () => (await devicesOf(ana)).length === 0);
  expect(await endpoint(here)).toBeNull();
  await page.reload();
  await page.getByText("On no device yet.").waitFor();
  expect(await isHere.isChecked()).toBe(false);
  await isHere.click();
  await oneDevice(ana, (device) => !device.showsContent);
  await page.getByText("This device").first().waitFor();
});

test("quiet_hours_are_set_changed_and_ended", async () => {
  const ana = await Person.named("Ana");
  const here = await (await newDevice({ ...GRANTED, timezoneId: "Europe/Madrid" })).signIn(ana, "/settings");
  const { page } = here;
  const settings = () => ana.api<{ doNotDisturb: object | null }>("GET", "/me/notifications");
  await page.getByRole("switch", { name: "Do not disturb" }).check();
  await page.getByLabel("From").waitFor();
  expect((await settings()).doNotDisturb).toEqual({ from: "22:00", to: "07:00", timeZone: "Europe/Madrid" });
  await page.getByLabel("To", { exact: true }).fill("08:30");
  await page.getByLabel("Time zone").selectOption("America/Bogota");
  await page.getByRole("button", { name: "Save" }).last().click();
  await eventually("the change", async () => JSON.stringify((await settings()).doNotDisturb) === JSON.stringify({ from: "22:00", to: "08:30", timeZone: "America/Bogota" }));
  await page.reload();
  await eventually("what was saved", async () => (await page.getByLabel("To", { exact: true }).inputValue()) === "08:30");
  await page.getByRole("switch", { name: "Do not disturb" }).uncheck();
  await eventually("the end", async () => (await settings()).doNotDisturb === null);
});

test("devices_are_listed_tested_and_removed", async () => {
  const ana = await Person.named("Ana");
  const here = await (await newDevice(GRANTED)).signIn(ana, "/settings");
  const { id } = await oneDevice(ana);
  const keys = { p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", auth: "BTBZMqHH6r4Tts7J_aSIgg" };
  await ana.api("POST", "/devices/register", { platform: "web", provider: "webpush", token: JSON.stringify({ endpoint: "https://localhost:1/gone", keys }) });
  const { page } = here;
  await page.reload();
  const lines = page.getByRole("listitem").filter({ has: page.getByRole("button", { name: /No more notifications on/u }) });
  await eventually("two lines", async () => (await lines.count()) === 2);
  await page.getByRole("button", { name: "Send a test notification" }).click();
  await lines.filter({ hasText: "This device" }).getByText("Sent. It should appear in a moment.").waitFor();
  await lines.filter({ hasNotText: "This device" }).getByText(/Could not be sent now/u).waitFor();
  const pushed = await service.next();
  expect(JSON.parse(pushed)).toMatchObject({ kind: "test" });
  const line = await PushLine.of(here);
  await line.deliver(pushed);
  await eventually("the test", async () => (await line.shown()).some((one) => one.tag === "test" && one.link === "/settings"));
  await lines.filter({ hasNotText: "This device" }).getByRole("button").click();
  await eventually("one line", async () => (await lines.count()) === 1);
  expect((await devicesOf(ana)).map((device) => device.id)).toEqual([id]);
  // The service has forgotten this one: it is switched off, and says so.
  service.status = 410;
  await page.getByRole("button", { name: "Send a test notification" }).click();
  await lines.getByText(/no longer takes notifications/u).waitFor();
});

test("a_message_comes_as_a_notification_to_whoever_is_away_and_a_click_leads_to_it", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "before");
  const here = await (await newDevice(GRANTED)).signIn(ana, `/c/${dm}`);
  await here.message("before").waitFor();
  await oneDevice(ana);
  const line = await PushLine.of(here);
  await here.page.goto("about:blank");
  const sent = await bruno.send(dm, "are you there? 👋");
  await line.deliver(await service.next());
  const shown = await line.showsOne(dm, "are you there? 👋");
  expect(shown).toMatchObject({ title: "Bruno", link: `/c/${dm}?m=${sent}`, silent: false });
  const [opened = ""] = await line.click(dm);
  await here.page.goto(opened);
  await here.message("are you there? 👋").waitFor();
});
