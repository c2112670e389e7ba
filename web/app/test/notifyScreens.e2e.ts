import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { BrowserContextOptions } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { settled, sizes, violations } from "./axe.ts";
import { Device, Person, useBrowser } from "./people.ts";
import { GRANTED, IPHONE, PushService, UNASKED } from "./pushService.ts";

useBrowser();

const shots = resolve(process.env["WEB_SCREENSHOTS"] ?? join(import.meta.dirname, "../../../target/web-screenshots"));
const STANDINGS: [string, BrowserContextOptions][] = [["on", GRANTED], ["unasked", UNASKED], ["denied", { permissions: ["clipboard-read"] }], ["iphone", { ...UNASKED, userAgent: IPHONE }]];

let service: PushService;

beforeAll(async () => {
  await mkdir(shots, { recursive: true });
  service = await PushService.start(inject("certificate"));
});
afterAll(() => service.close());

for (const [size, options] of Object.entries(sizes)) {
  for (const colorScheme of ["light", "dark"] as const) {
    for (const language of ["en", "es"] as const) {
      test(`what_is_shown_of_notifications_is_free_of_axe_violations_${size}_${colorScheme}_${language}`, async () => {
        const [ana, bruno] = [await Person.named("Ana Beltrán"), await Person.named("Bruno")];
        const dm = await ana.dm(bruno);
        await bruno.send(dm, "hello");
        await ana.api("PATCH", "/me/notifications", { doNotDisturb: { from: "22:00", to: "07:00", timeZone: "Europe/Madrid" } });
        const problems: string[] = [];
        const look = async ({ page }: Device, name: string) => {
          await settled(page);
          await page.screenshot({ path: join(shots, `${name}-${size}-${colorScheme}-${language}.png`) });
          problems.push(...(await violations(page)).map((one) => `${name}: ${one}`));
          const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          if (beyond > 0) problems.push(`${name}: ${beyond} px wider than the screen`);
        };
        const locale = language === "en" ? "en-US" : "es-ES";
        const words = language === "en"
          ? { section: "Notifications", test: "Send a test notification", done: "Sent. It should appear in a moment.", field: "Write a message", send: "Send" }
          : { section: "Notificaciones", test: "Enviar una notificación de prueba", done: "Enviada. Debería aparecer en un momento.", field: "Escribe un mensaje", send: "Enviar" };
        // Those that are one paragraph need not be seen everywhere.
        const wanted = size === "phone" && colorScheme === "light" ? STANDINGS : STANDINGS.slice(0, 2);
        for (const [name, more] of wanted) {
          const device = await Device.new({ ...options, colorScheme, locale, ...more });
          await service.serve(device.context);
          await enter(device, ana, language);
          const { page } = device;
          if (name === "unasked") {
            await page.goto(`/c/${dm}`);
            await page.getByRole("textbox", { name: words.field }).fill("Hello!");
            await page.getByRole("button", { name: words.send, exact: true }).click();
            await page.getByTestId("notify-offer").waitFor();
            await look(device, "notify-offer");
          }
          await page.goto("/settings");
          const heading = page.getByRole("heading", { name: words.section, exact: true });
          await page.locator("select").waitFor();
          if (name === "on") {
            await page.getByRole("button", { name: words.test }).click();
            await page.getByText(words.done).waitFor();
          }
          await heading.scrollIntoViewIfNeeded();
          await heading.evaluate((one) => one.closest("section")?.scrollIntoView({ block: "start" }));
          await page.evaluate(() => document.querySelector("section h2")?.closest("div.overflow-y-auto")?.scrollBy(0, -80));
          await look(device, `notify-settings-${name}`);
          await page.goto("about:blank");
        }
        expect([...new Set(problems)]).toEqual([]);
      });
    }
  }
}

async function enter({ page }: Device, person: Person, language: "en" | "es"): Promise<void> {
  const words = language === "en" ? { email: "E-mail", password: "Password", enter: "Sign in" } : { email: "Correo electrónico", password: "Contraseña", enter: "Entrar" };
  await page.goto("/");
  await page.getByLabel(words.email).fill(person.email);
  await page.getByLabel(words.password, { exact: true }).fill(person.password);
  await page.getByRole("button", { name: words.enter, exact: true }).click();
  await page.getByRole("link", { name: /Bruno/ }).waitFor();
}
