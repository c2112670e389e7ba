import { expect, test } from "vitest";
import { Device, eventually, Person, useBrowser } from "./people.ts";

useBrowser();

test("everything_can_be_done_with_the_keyboard_alone", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  for (const body of ["first", "second", "third"]) await bruno.send(dm, body);
  const here = await Device.new();
  const { page } = here;
  const { keyboard } = page;
  await page.goto("/");
  await page.getByLabel("E-mail").focus();
  await keyboard.type(ana.email);
  await keyboard.press("Tab");
  await keyboard.type(ana.password);
  await keyboard.press("Enter");
  await page.getByRole("link", { name: /Bruno/ }).waitFor();

  await keyboard.press("Control+k");
  await eventually("the search field", () => page.getByRole("searchbox", { name: "Search people and messages" }).evaluate((field) => field === document.activeElement));
  await keyboard.type("brun");
  await page.getByRole("link", { name: /Bruno/ }).waitFor();
  await keyboard.press("ArrowDown");
  await keyboard.press("Enter");
  await here.composer.waitFor();
  await eventually("the message field", () => here.composer.evaluate((field) => field === document.activeElement));
  await keyboard.type("fourth");
  await keyboard.press("Shift+Enter");
  await keyboard.type("line");
  await keyboard.press("Enter");
  await page.getByRole("article", { name: /fourth\s+line/ }).waitFor();

  await keyboard.press("Shift+Tab");
  await keyboard.press("Shift+Tab");
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.id ?? "");
  await eventually("the newest message", async () => /fourth/.test(await focused()));
  await keyboard.press("ArrowUp");
  await eventually("the one above", async () => /third/.test(await focused()));
  await keyboard.press("ArrowUp");
  await eventually("and above", async () => /second/.test(await focused()));

  await keyboard.press("Enter");
  await page.getByRole("menu").waitFor();
  await keyboard.press("Enter");
  await page.getByRole("article", { name: /second/ }).getByRole("button", { name: "👍 by You" }).waitFor();
  await eventually("the row again", async () => /second/.test(await focused()));

  await keyboard.press("r");
  await page.getByText("Replying to Bruno").waitFor();
  await eventually("the field", async () => (await focused()) === "Write a message");
  await keyboard.type("answer");
  await keyboard.press("Enter");
  await page.getByRole("article", { name: /answer/ }).locator("[data-status=sent]").waitFor();

  await keyboard.press("ArrowUp");
  await page.getByText("Editing message").waitFor();
  await keyboard.press("End");
  await keyboard.type("ed");
  await keyboard.press("Enter");
  await page.getByRole("article", { name: /answered.*edited/ }).waitFor();

  await keyboard.press("Shift+Tab");
  await keyboard.press("Shift+Tab");
  await eventually("a message", async () => (await page.evaluate(() => document.activeElement?.tagName)) === "ARTICLE");
  await keyboard.press("End");
  await eventually("mine", async () => /answered/.test(await focused()));
  await keyboard.press("Delete");
  await page.getByRole("dialog").waitFor();
  await keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("article", { name: /answered/ }).focus();
  await keyboard.press("Delete");
  await page.getByRole("dialog").waitFor();
  await keyboard.press("Enter");
  await page.getByRole("article", { name: /You deleted this message/ }).waitFor();

  await page.getByRole("article", { name: /first/ }).focus();
  await keyboard.press("+");
  await page.getByRole("searchbox", { name: "Search emoji" }).waitFor();
  await keyboard.type("party popper");
  await eventually("the emoji", async () => (await page.locator("[data-emoji]").first().textContent()) === "🎉");
  await keyboard.press("ArrowDown");
  await keyboard.press("Enter");
  await page.getByRole("article", { name: /first/ }).getByRole("button", { name: "🎉 by You" }).waitFor();
});

test("the_first_stop_leads_past_the_list", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  await ana.send(await ana.dm(bruno), "hello");
  const { page } = await (await Device.new()).signIn(ana);
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.keyboard.press("Tab");
  await page.getByRole("link", { name: "Skip to the conversation" }).waitFor();
  await page.keyboard.press("Enter");
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
});
