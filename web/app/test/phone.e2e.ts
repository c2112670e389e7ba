import { expect, test } from "vitest";
import { Device, eventually, Person, useBrowser } from "./people.ts";

useBrowser();

const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

test("on_a_phone_one_pane_is_shown_and_back_leads_to_the_list", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "hello from the other side");
  const here = await (await Device.new(phone)).signIn(ana);
  const { page } = here;
  await page.getByRole("link", { name: /Bruno/ }).tap();
  await here.message("hello from the other side").waitFor();
  expect(await page.getByRole("navigation").isVisible()).toBe(false);
  await here.composer.fill("from my phone");
  await page.getByRole("button", { name: "Send", exact: true }).tap();
  await here.status("from my phone", "sent").waitFor();
  await page.getByRole("button", { name: "Back" }).tap();
  await page.getByRole("link", { name: /Bruno/ }).waitFor();
  expect(await here.composer.isVisible()).toBe(false);
});

test("a_long_press_opens_the_actions_of_a_message", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "press me");
  const here = await (await Device.new(phone)).signIn(ana, `/c/${dm}`);
  const { page } = here;
  const box = await here.message("press me").getByText("press me").boundingBox();
  const at = { x: box!.x + 10, y: box!.y + 8 };
  const cdp = await here.context.newCDPSession(page);
  await cdp.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [at] });
  await page.getByRole("dialog", { name: "Message actions" }).waitFor();
  await cdp.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  await page.getByRole("button", { name: "React with ❤️" }).tap();
  await here.message("press me").getByRole("button", { name: "❤️ by You" }).waitFor();
});

test("nothing_is_wider_than_the_screen_at_200_percent", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno with a rather long name that goes on")];
  const group = await ana.group("A group with a title that is a good deal longer than any phone is wide", [bruno]);
  await bruno.send(group, "Donaudampfschifffahrtsgesellschaftskapitän".repeat(4));
  await ana.send(group, "https://example.org/" + "a".repeat(300));
  const { page } = await (await Device.new({ viewport: { width: 640, height: 512 }, deviceScaleFactor: 2 })).signIn(ana);
  for (const path of ["/", `/c/${group}`, `/c/${group}/info`, "/settings"]) {
    await page.goto(path);
    await page.getByRole("heading").first().waitFor({ state: "attached" });
    await eventually("the page", async () => (await page.locator("[aria-busy=true]").count()) === 0);
    for (const width of [640, 320]) {
      await page.setViewportSize({ width, height: 512 });
      const beyond = await page.evaluate(() => {
        const seen = [...document.querySelectorAll<HTMLElement>("button, a, p, h1, h2, h3, input, textarea, article")].filter((one) => {
          const box = one.getBoundingClientRect();
          return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1) && one.closest(".sr-only") === null;
        });
        return { page: document.documentElement.scrollWidth - innerWidth, seen: seen.map((one) => one.outerHTML.slice(0, 120)) };
      });
      expect(beyond, `${path} at ${width}`).toEqual({ page: 0, seen: [] });
    }
  }
});
