import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { Device, Person, useBrowser } from "./people.ts";

useBrowser();

/** How long the history is. What is measured is printed, for a person to judge: machines have other things to do. */
const LENGTH = Number(process.env["WEB_HISTORY"] ?? 1000);

/** Beside the two that are looked at. */
const CONVERSATIONS = Number(process.env["WEB_CONVERSATIONS"] ?? 20);
const SENDS = 40;

let ana: Person;
let bruno: Person;
let long: string;
let short: string;

beforeAll(async () => {
  [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const carmen = await Person.named("Carmen");
  for (let i = 0; i < CONVERSATIONS; i++) await ana.group(`Group ${i}`, []);
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
  const { page } = await (await Device.onDisk()).signIn(ana, `/c/${short}`);
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
  const { page } = await (await Device.onDisk()).signIn(ana, `/c/${long}`);
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
  const { page } = await (await Device.onDisk()).signIn(ana, `/c/${long}`);
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

test("a_message_is_on_the_screen_at_once_with_a_network_and_without", async () => {
  const device = await (await Device.onDisk()).signIn(ana, `/c/${long}`);
  const { page } = device;
  await newest(page).waitFor();
  await sends(device, "with a network");
  await device.goOffline();
  await page.getByTestId("banner").filter({ hasText: /No connection|Can’t reach/ }).waitFor();
  await sends(device, "without a network");
});

/** From the key to the row in the document, and to the frame that shows it. */
async function sends(device: Device, how: string): Promise<void> {
  const { page } = device;
  const rows: number[] = [];
  const frames: number[] = [];
  for (let i = 0; i < SENDS; i++) {
    const text = `${how} ${i}`;
    await device.composer.fill(text);
    const measured = page.evaluate(async (text) => {
      const list = document.querySelector("[role=group] ol")!.parentElement!;
      const pressed = new Promise<number>((done) => addEventListener("keydown", () => done(performance.now()), { capture: true, once: true }));
      const shown = new Promise<number>((done) => {
        const look = () => list.textContent?.includes(text) && done(performance.now());
        new MutationObserver(look).observe(list, { childList: true, subtree: true, characterData: true });
      });
      const [began, row] = await Promise.all([pressed, shown]);
      await new Promise(requestAnimationFrame);
      return { row: row - began, frame: performance.now() - began };
    }, text);
    await device.composer.press("Enter");
    const { row, frame } = await measured;
    rows.push(row);
    frames.push(frame);
  }
  console.log(`${how}: from Enter to the row ${spread(rows)}, to the next frame ${spread(frames)}`);
  await device.message(`${how} ${SENDS - 1}`).waitFor();
}

function spread(values: number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!.toFixed(1);
  return `p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, max ${at(1)} ms`;
}
