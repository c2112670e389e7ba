import { expect, test } from "vitest";
import { Device, eventually, Person, useBrowser } from "./people.ts";

useBrowser();

const bodies = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg onload=alert(1)><style>*{display:none}</style>",
  "<a href=\"javascript:alert(1)\">click me</a>",
  "javascript:alert(1)",
  "https://example.org/\"onmouseover=\"alert(1)",
  "https://example.org/'><script>alert(1)</script>",
  "http://bank.example@evil.example/login",
  "https://аррӏе.com/",
  "[x](javascript:alert(1)) ![x](https://elsewhere.example/x.png)",
  "{{constructor.constructor('alert(1)')()}} ${alert(1)} <%= 7*7 %>",
  "</p></div></article><h1>broken out</h1>",
  "&lt;b&gt;entities&lt;/b&gt; &amp;amp;",
  "\u202Etxt.exe right to left \u202Dhttps://example.org/\u202Egpj.scr",
  "\u2066\u2067\u2068 unclosed isolates",
  "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
  `${"w".repeat(2000)}`,
  "👩‍👩‍👧‍👦".repeat(40),
  "line\n".repeat(60),
  "﷽".repeat(60),
  "\u0000\u0007\u001b[31mcontrol".replace("\u0000", ""),
  "data:text/html,<script>alert(1)</script>",
  "ﷺ 𒐫 ꧅ 🏳️‍🌈 ﷽",
];

test("no_message_name_or_title_can_be_more_than_text", async () => {
  const mallory = await Person.named("<img src=x onerror=alert(1)> \u202Egro.elpmaxe");
  const ana = await Person.named("Ana");
  const group = await mallory.group("</title><script>alert(1)</script>", [ana]);
  for (const body of bodies) await mallory.send(group, body);
  const last = await mallory.send(group, "the end");
  await mallory.send(group, "the reply", { replyTo: last });
  const { page } = await (await Device.new()).signIn(ana, `/c/${group}`);
  await page.getByRole("article", { name: /the reply/ }).waitFor();

  const seen = new Set<string>();
  for (let i = 0; i < 60; i++) {
    const found = await page.evaluate(() => ({
      bodies: [...document.querySelectorAll<HTMLElement>("article [dir=auto]")].map((one) => one.textContent ?? ""),
      bad: [...document.querySelectorAll("article script, article img, article svg[onload], article style, article h1, article iframe, [onerror], [onload], [onmouseover]")].length,
      links: [...document.querySelectorAll<HTMLAnchorElement>("article a")].map((link) => ({ href: link.href, text: link.textContent ?? "", rel: link.rel, target: link.target })),
      wide: document.documentElement.scrollWidth - innerWidth,
    }));
    expect(found.bad).toBe(0);
    expect(found.wide).toBeLessThanOrEqual(0);
    for (const link of found.links) {
      expect(link.href).toMatch(/^(https?:|mailto:)/);
      expect(link.rel).toContain("noopener");
      expect(link.rel).toContain("noreferrer");
      expect(link.target).toBe("_blank");
      if (link.href.startsWith("http")) expect(link.text.toLowerCase()).toContain(new URL(link.href).host);
    }
    for (const body of found.bodies) seen.add(body);
    const atTop = await page.getByRole("group", { name: "Messages" }).evaluate((list) => {
      list.scrollBy(0, -500);
      return list.scrollTop === 0;
    });
    if (atTop && i > 3) break;
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  }
  for (const body of bodies.filter((one) => !one.startsWith("👩") && !one.includes("аррӏе"))) {
    expect([...seen].some((one) => one.startsWith(body.trim().slice(0, 40)) || one.includes(body.trim().slice(0, 12))), body.slice(0, 60)).toBe(true);
  }
  expect([...seen].some((one) => one.startsWith("https://xn--"))).toBe(true);
  await eventually("the title of the tab", async () => /Tertulia$/.test(await page.title()));
});

test("pictures_of_other_hosts_are_never_asked_for", async () => {
  const [mallory, ana] = [await Person.named("Mallory"), await Person.named("Ana")];
  await mallory.api("PATCH", "/me", { avatarUrl: "https://elsewhere.example/pixel.png" }).catch(() => {});
  const dm = await mallory.dm(ana);
  await mallory.send(dm, "hello");
  const { page } = await (await Device.new()).signIn(ana, `/c/${dm}`);
  await page.getByRole("article", { name: /hello/ }).waitFor();
  expect(await page.locator("img[src*=elsewhere]").count()).toBe(0);
});
