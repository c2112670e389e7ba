import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { settled, sizes, violations } from "./axe.ts";
import { Device, Person, useBrowser } from "./people.ts";

useBrowser();

const shots = resolve(process.env["WEB_SCREENSHOTS"] ?? join(import.meta.dirname, "../../../target/web-screenshots"));

let ana: Person;
let bruno: Person;
let group: string;
let dm: string;

beforeAll(async () => {
  await mkdir(shots, { recursive: true });
  ana = await Person.named("Ana Beltrán");
  bruno = await Person.named("Bruno Keller");
  const carmen = await Person.named("Carmen Ruiz");
  const mohammed = await Person.named("محمد العلي");
  group = await ana.group("Sunday hike", [bruno, carmen, mohammed]);
  const first = await carmen.send(group, "Morning everyone! Who is in for Sunday?");
  await carmen.send(group, "Forecast says sun until four ☀️");
  await bruno.send(group, "I am. I can take three people in the car.");
  await ana.send(group, "Count me in! I’ll bring the thermos.", { replyTo: first });
  await mohammed.send(group, "صباح الخير! هذا هو الطريق: https://www.example.org/routes/circular?start=09:30");
  const plan = await ana.send(group, "Perfect. Then let’s meet at 8:15 at the station, by the bakery.\n\nThings to bring:\n- water\n- a jacket\n- lunch");
  for (const [who, emoji] of [[bruno, "👍"], [carmen, "👍"], [mohammed, "❤️"]] as const) await who.api("PUT", `/conversations/${group}/messages/${plan}/reactions/${encodeURIComponent(emoji)}`);
  await bruno.send(group, "🎉");
  const oops = await carmen.send(group, "oops, wrong group");
  await carmen.api("DELETE", `/conversations/${group}/messages/${oops}`);
  dm = await ana.dm(bruno);
  await bruno.send(dm, "Did you get the tickets?");
  await ana.send(dm, "Yes, two for Saturday at 20:00");
  for (const body of ["You are the best", "😍😍"]) await bruno.send(dm, body);
  const old = await ana.dm(carmen);
  await ana.send(old, "Can you send me the minutes?");
  await carmen.send(await carmen.dm(ana), "On it! Give me ten minutes, I am still on the train.");
});

for (const [size, options] of Object.entries(sizes)) {
  for (const scheme of ["light", "dark"] as const) {
    for (const language of ["en", "es"] as const) {
      test(`every_screen_is_free_of_axe_violations_${size}_${scheme}_${language}`, async () => {
        const device = await Device.new({ ...options, colorScheme: scheme, locale: language === "en" ? "en-US" : "es-ES" });
        const { page } = device;
        const words = language === "en"
          ? { name: "Your name", make: "Create account", email: "E-mail", password: "Password", enter: "Sign in", fresh: "New conversation", dm: "New message", group: "New group", field: "Write a message", search: "Search people and messages", inside: "Search in this conversation", emoji: "Emoji", out: "Log out" }
          : { name: "Tu nombre", make: "Crear cuenta", email: "Correo electrónico", password: "Contraseña", enter: "Entrar", fresh: "Nueva conversación", dm: "Nuevo mensaje", group: "Nuevo grupo", field: "Escribe un mensaje", search: "Buscar personas y mensajes", inside: "Buscar en esta conversación", emoji: "Emoji", out: "Cerrar sesión" };
        const problems: string[] = [];
        const look = async (name: string) => {
          await settled(page);
          await page.screenshot({ path: join(shots, `${name}-${size}-${scheme}-${language}.png`) });
          problems.push(...(await violations(page)).map((one) => `${name}: ${one}`));
        };
        await page.goto("/");
        await page.getByLabel(words.email).waitFor();
        await look("sign-in");
        await page.getByRole("button", { name: words.make }).first().click();
        await look("register");
        await page.goto("/");
        await page.getByLabel(words.email).fill(ana.email);
        await page.getByLabel(words.password, { exact: true }).fill(ana.password);
        await page.getByRole("button", { name: words.enter, exact: true }).click();
        await page.getByRole("link", { name: /Bruno/ }).waitFor();
        await look("list");
        for (const item of [words.dm, words.group]) {
          await page.getByRole("button", { name: words.fresh }).click();
          await page.getByRole("menuitem", { name: item }).click();
          await page.getByRole("dialog").waitFor();
          await look(item === words.dm ? "new-dm" : "new-group");
          await page.keyboard.press("Escape");
          await page.getByRole("dialog").waitFor({ state: "detached" });
        }
        await page.getByRole("searchbox", { name: words.search }).fill("min");
        await page.getByText(/Give me ten/).last().waitFor();
        await look("search");
        await page.goto(`/c/${dm}`);
        await page.getByRole("article", { name: /You are the best/ }).waitFor();
        await look("dm");
        await page.goto(`/c/${group}`);
        await page.getByRole("article", { name: /🎉/ }).waitFor();
        await look("group");
        await page.getByRole("article", { name: /Things to bring/ }).focus();
        await page.keyboard.press("Enter");
        await page.getByRole(size === "phone" ? "dialog" : "menu").waitFor();
        await look("message-menu");
        await page.keyboard.press("Escape");
        await page.getByRole("button", { name: words.emoji, exact: true }).click();
        await page.locator("[data-emoji]").first().waitFor();
        await look("emoji");
        await page.keyboard.press("Escape");
        await page.getByRole("button", { name: words.inside }).click();
        await page.getByRole("searchbox", { name: words.inside }).fill("sunday");
        await page.getByRole("search").getByText(/Who is in for/).waitFor();
        await look("search-inside");
        await page.goto(`/c/${group}/info`);
        await page.getByRole("complementary").getByText("Carmen Ruiz").waitFor();
        await look("group-info");
        await page.goto("/settings");
        await page.getByRole("button", { name: words.out }).waitFor();
        await look("settings");
        await page.getByRole("button", { name: words.out }).click();
        await page.getByRole("dialog").waitFor();
        await look("log-out");
        await page.goto(`/c/${dm}`);
        await page.getByRole("article", { name: /You are the best/ }).waitFor();
        await device.goOffline();
        await page.getByRole("textbox", { name: words.field }).fill("Written on the train");
        await page.keyboard.press(size === "phone" ? "Tab" : "Enter");
        if (size === "phone") await page.keyboard.press("Enter");
        await page.locator("[data-status=pending]").first().waitFor();
        await page.getByTestId("banner").filter({ hasText: "1" }).waitFor();
        await look("offline");
        await page.goto("about:blank");
        expect([...new Set(problems)]).toEqual([]);
      });
    }
  }
}
