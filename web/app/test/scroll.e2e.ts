import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { Device, eventually, Person, useBrowser } from "./people.ts";

useBrowser();

/** How long the history is. What is measured is printed, for a person to judge: machines have other things to do. */
const LENGTH = Number(process.env["WEB_HISTORY"] ?? 1000);

let ana: Person;
let bruno: Person;
let long: string;
let short: string;

beforeAll(async () => {
  [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const carmen = await Person.named("Carmen");
  long = await ana.dm(bruno);
  short = await ana.dm(carmen);
  await carmen.send(short, "short");
  const words = "we should meet at the river tomorrow and bring some coffee because the train is early".split(" ");
  for (let i = 0; i < LENGTH; i++) await (i % 3 === 0 ? ana : bruno).send(long, `${i} ${words.slice(0, 1 + ((i * 7) % words.length)).join(" ").repeat(1 + (i % 5 === 0 ? 3 : 0))}`);
  await ana.api("POST", `/conversations/${long}/receipts`, { deliveredSeq: LENGTH, readSeq: LENGTH });
}, 300_000);

const list = (page: Page) => page.getByRole("group", { name: "Messages" });
const newest = (page: Page) => page.getByRole("article", { name: new RegExp(`${LENGTH - 1} `) });

test("a_conversation_opens_at_its_end_at_once", async () => {
  const { page } = await (await Device.new()).signIn(ana, `/c/${short}`);
  await page.getByRole("article", { name: /short/ }).waitFor();
  const open = (name: string, rows: number) => page.evaluate(async ([name, rows]) => {
    const link = [...document.querySelectorAll<HTMLElement>("nav a[data-result]")].find((one) => one.textContent?.includes(name));
    const began = performance.now();
    link!.click();
    for (;;) {
      await new Promise(requestAnimationFrame);
      const shown = document.querySelectorAll("article");
      if (shown.length >= rows && shown[shown.length - 1]!.getBoundingClientRect().bottom <= innerHeight) return performance.now() - began;
      if (performance.now() - began > 5000) return Infinity;
    }
  }, [name, rows] as const);
  const took: number[] = [];
  for (let i = 0; i < 5; i++) {
    took.push(await open("Bruno", 6));
    await newest(page).waitFor();
    await open("Carmen", 1);
    await page.getByRole("article", { name: /short/ }).waitFor();
  }
  console.log(`opening ${LENGTH} messages: ${took.map(Math.round).join(", ")} ms`);
  expect(took.every(Number.isFinite)).toBe(true);
});

test("what_one_looks_at_stays_where_it_is_when_older_history_arrives", async () => {
  const { page } = await (await Device.new()).signIn(ana, `/c/${long}`);
  await newest(page).waitFor();
  const seen = await list(page).evaluate(async (element) => {
    const STEP = 40;
    const frame = () => new Promise(requestAnimationFrame);
    const rows = () => [...element.querySelectorAll<HTMLElement>("article")];
    const jumps: string[] = [];
    const height = element.scrollHeight;
    // Where the history comes slower than it is scrolled, some steps are made at its top.
    for (let i = 0; i < 3000 && element.scrollHeight < height + 6000; i++) {
      const row = rows().find((one) => one.getBoundingClientRect().top > 300);
      if (row === undefined) throw new Error("an empty screen");
      const key = row.dataset["key"];
      const top = row.getBoundingClientRect().top;
      const from = element.scrollTop;
      element.scrollTop -= STEP;
      await frame();
      const now = element.querySelector(`[data-key="${key}"]`)?.getBoundingClientRect().top ?? NaN;
      const jump = now - top - Math.min(STEP, from);
      if (!(Math.abs(jump) <= 2)) jumps.push(`${jump} px at ${from} -> ${element.scrollTop}, row ${key}`);
    }
    return { grown: element.scrollHeight - height, jumps };
  });
  expect(seen.grown, "older messages came, in pixels").toBeGreaterThan(5000);
  expect(seen.jumps).toEqual([]);
});

test("nothing_is_blocked_while_thousands_of_messages_are_scrolled_through", async () => {
  const { page } = await (await Device.new()).signIn(ana, `/c/${long}`);
  await newest(page).waitFor();
  await page.evaluate(() => {
    const tasks: number[] = [];
    new PerformanceObserver((all) => tasks.push(...all.getEntries().map((one) => one.duration))).observe({ type: "longtask" });
    Object.assign(globalThis, { tasks });
  });
  const box = (await list(page).boundingBox())!;
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  const oldest = () => page.evaluate(() => Number(document.querySelector("article[data-message] [dir=auto]")?.textContent?.split(" ")[0]));
  const until = performance.now() + 60_000;
  while ((await oldest()) > 20 && performance.now() < until) await page.mouse.wheel(0, -900);
  const tasks = await page.evaluate(() => (globalThis as unknown as { tasks: number[] }).tasks);
  console.log(`scrolled to message ${await oldest()}; tasks over 50 ms: ${tasks.length === 0 ? "none" : tasks.map(Math.round).join(", ")}`);
  expect(await oldest()).toBeLessThan(LENGTH / 2);
});

test("a_message_sent_offline_is_on_the_screen_within_a_frame", async () => {
  const device = await (await Device.new()).signIn(ana, `/c/${long}`);
  const { page } = device;
  await newest(page).waitFor();
  await device.goOffline();
  await page.getByTestId("banner").filter({ hasText: /No connection|Can’t reach/ }).waitFor();
  const took: number[] = [];
  for (let i = 0; i < 5; i++) {
    await device.composer.fill(`instant ${i}`);
    const one = await page.evaluate(async (text) => {
      const list = document.querySelector("[role=group] ol")!.parentElement!;
      const began = performance.now();
      const shown = new Promise<number>((done) => {
        const look = () => list.textContent?.includes(text) && done(performance.now() - began);
        new MutationObserver(look).observe(list, { childList: true, subtree: true });
      });
      document.querySelector<HTMLElement>('button[aria-label="Send"]')!.click();
      return shown;
    }, `instant ${i}`);
    took.push(one);
  }
  console.log(`offline sends on the screen after ${took.map((one) => one.toFixed(1)).join(", ")} ms`);
  expect(took.length).toBe(5);
  await eventually("the newest at the end", () => page.getByRole("article", { name: /instant 4/ }).isVisible());
});
