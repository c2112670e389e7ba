import { expect, test } from "vitest";
import { Device, eventually, Person, useBrowser } from "./people.ts";

useBrowser();

test("a_session_that_has_ended_is_begun_again_and_nothing_here_is_lost", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "hello");
  const here = await (await Device.new()).signIn(ana, `/c/${dm}`);
  await here.message("hello").waitFor();
  await here.goOffline();
  await here.write("written meanwhile");
  await here.status("written meanwhile", "pending").waitFor();
  await here.context.clearCookies();
  await here.goOnline();
  const banner = here.page.getByTestId("banner");
  await banner.filter({ hasText: "Your session has ended" }).waitFor();
  expect(await here.message("hello").isVisible()).toBe(true);
  await banner.getByRole("button", { name: "Sign in" }).click();
  const dialog = here.page.getByRole("dialog");
  expect(await dialog.getByLabel("E-mail").inputValue()).toBe(ana.email);
  await dialog.getByLabel("Password", { exact: true }).fill(ana.password);
  await dialog.getByRole("button", { name: "Sign in", exact: true }).click();
  await here.status("written meanwhile", "sent").waitFor();
  await eventually("no banner", async () => (await banner.textContent()) === "");
});

test("theme_and_language_are_chosen_and_kept_without_a_flash", async () => {
  const ana = await Person.named("Ana");
  const { page } = await (await Device.new({ colorScheme: "light" })).signIn(ana, "/settings");
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByRole("radio", { name: "Dark" }).check();
  await eventually("the dark ground", async () => (await ground()) !== light);
  await page.getByRole("radio", { name: "Español" }).check();
  await page.getByRole("heading", { name: "Ajustes" }).waitFor();
  await page.reload({ waitUntil: "commit" });
  await eventually("the first element", () => page.evaluate(() => document.body !== null));
  expect(await page.evaluate(() => [document.documentElement.dataset["theme"], document.documentElement.lang])).toEqual(["dark", "es"]);
  await page.getByRole("heading", { name: "Ajustes" }).waitFor();
});
