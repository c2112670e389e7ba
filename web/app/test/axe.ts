import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { eventually } from "./people.ts";

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

export const sizes = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
};

interface Violation {
  id: string;
  nodes: { html: string; failureSummary?: string }[];
}

export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(await readFile(axe, "utf8"));
  const found = await page.evaluate(async () => {
    const run = (globalThis as unknown as { axe: { run(on: Document, options: object): Promise<{ violations: Violation[] }> } }).axe.run;
    return (await run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })).violations;
  });
  return found.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 200)} ${node.failureSummary ?? ""}`));
}

/** Animations are over and nothing waits. */
export async function settled(page: Page): Promise<void> {
  await eventually("the page at rest", () => page.evaluate(() => document.getAnimations().every((one) => one.playState !== "running" || one.effect?.getComputedTiming().iterations === Infinity) && document.querySelector("[aria-busy=true]") === null));
  await page.evaluate(() => document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))));
}
