import { expect, test } from "vitest";
import { Device, eventually, Person, useBrowser } from "./people.ts";

useBrowser();

test("somebody_new_makes_an_account_and_finds_a_friend_by_e_mail", async () => {
  const bruno = await Person.named("Bruno");
  const { page } = await Device.new();
  await page.goto("/");
  await page.getByRole("button", { name: "Create account" }).first().click();
  await page.getByLabel("Your name").fill("Ana");
  await page.getByLabel("E-mail").fill(`ana.${crypto.randomUUID().slice(0, 8)}@example.org`);
  await page.getByLabel("Password", { exact: true }).fill("a good password");
  await page.locator("form").getByRole("button", { name: "Create account" }).click();
  await page.getByRole("button", { name: "New message" }).click();
  await page.getByLabel("Person’s e-mail").fill(bruno.email);
  await page.getByRole("button", { name: bruno.email }).click();
  await page.getByRole("heading", { name: "Bruno" }).waitFor();
  await page.getByRole("textbox", { name: "Write a message" }).fill("Hello Bruno");
  await page.keyboard.press("Enter");
  await page.getByRole("article", { name: /Hello Bruno/ }).locator("[data-status=sent]").waitFor();
});

test("wrong_credentials_are_told_in_words", async () => {
  const ana = await Person.named("Ana");
  const { page } = await Device.new();
  await page.goto("/");
  await page.getByLabel("E-mail").fill(ana.email);
  await page.getByLabel("Password", { exact: true }).fill("something else");
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: "do not fit together" }).waitFor();
});

test("two_people_write_and_see_each_other_type_receive_and_read", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  await ana.send(await ana.dm(bruno), "first");
  const here = await (await Device.new()).signIn(ana);
  const there = await (await Device.new()).signIn(bruno);
  await here.open("Bruno");
  await there.page.getByText("1 unread message", { exact: true }).waitFor({ state: "attached" });
  await eventually("the title", async () => (await there.page.title()).startsWith("(1)"));
  await here.status("first", "delivered").waitFor();
  await there.open("Ana");
  await here.status("first", "read").waitFor();
  await eventually("the title without a number", async () => (await there.page.title()) === "Tertulia");

  await here.composer.pressSequentially("How are y");
  await there.page.getByText("Ana is typing…").waitFor();
  await here.write("How are you?");
  await there.message("How are you?").waitFor();
  await there.page.getByText("Ana is typing…").waitFor({ state: "detached" });
  await here.status("How are you?", "read").waitFor();
  await here.page.getByRole("img", { name: "Online" }).first().waitFor();
  expect(await there.page.getByTestId("announcer").textContent()).toContain("Ana: How are you?");
});

test("a_message_is_answered_reacted_to_edited_and_deleted_for_both", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await bruno.send(dm, "Shall we?");
  const here = await (await Device.new()).signIn(ana, `/c/${dm}`);
  const there = await (await Device.new()).signIn(bruno, `/c/${dm}`);

  await here.message("Shall we?").click({ button: "right" });
  await here.page.getByRole("menuitem", { name: "Reply" }).click();
  await here.page.getByText("Replying to Bruno").waitFor();
  await here.write("Yes, let us");
  await there.message("Yes, let us").getByRole("button", { name: /Shall we\?/ }).waitFor();

  await here.message("Shall we?").first().click({ button: "right" });
  await here.page.getByRole("menuitem", { name: "React with 👍" }).click();
  await there.message("Shall we?").getByRole("button", { name: "👍 by Ana" }).waitFor();

  await here.message("Yes, let us").click({ button: "right" });
  await here.page.getByRole("menuitem", { name: "Edit" }).click();
  await here.composer.fill("Yes, let us go");
  await here.page.keyboard.press("Enter");
  await there.page.getByRole("article", { name: /Yes, let us go.*edited/ }).waitFor();

  await here.message("Yes, let us go").click({ button: "right" });
  await here.page.getByRole("menuitem", { name: "Delete" }).click();
  await here.page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await there.message("This message was deleted").waitFor();
  await here.message("You deleted this message").waitFor();
  expect((await ana.history(dm)).map((one) => one.body)).toEqual(["Shall we?", ""]);
});

test("a_group_is_made_renamed_joined_and_left", async () => {
  const [ana, bruno, carmen] = [await Person.named("Ana"), await Person.named("Bruno"), await Person.named("Carmen")];
  const { page } = await (await Device.new()).signIn(ana);
  await page.getByRole("button", { name: "New group" }).click();
  await page.getByLabel("Group name").fill("Hikers");
  await page.getByLabel("Members", { exact: true }).fill(bruno.email);
  await page.getByRole("button", { name: bruno.email }).click();
  await page.getByRole("button", { name: "Create group" }).click();
  await page.getByRole("heading", { name: "Hikers" }).waitFor();

  await page.getByRole("button", { name: "Details" }).click();
  const info = page.getByRole("complementary", { name: "Group details" });
  await info.getByText("Bruno").waitFor();
  await info.getByRole("button", { name: "Rename" }).click();
  await page.getByRole("dialog").getByLabel("Group name").fill("Sunday hikers");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("heading", { name: "Sunday hikers" }).waitFor();

  await info.getByRole("button", { name: "Add people" }).click();
  await page.getByLabel("Person’s e-mail").fill(carmen.email);
  await page.getByRole("button", { name: carmen.email }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Add", exact: true }).click();
  await info.getByText("Carmen").waitFor();
  await info.getByRole("button", { name: "Actions for Bruno" }).click();
  await page.getByRole("menuitem", { name: "Make admin" }).click();
  await info.getByText("Admin", { exact: true }).waitFor();

  await info.getByRole("button", { name: "Leave group" }).click();
  await page.getByLabel(/last owner/).selectOption({ label: "Carmen" });
  await page.getByRole("dialog").getByRole("button", { name: "Leave" }).click();
  // What lies behind a dialog has no role as long as it is open.
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("link", { name: "Sunday hikers" }).waitFor({ state: "detached" });
  const { conversations } = await carmen.api<{ conversations: { myRole: string }[] }>("GET", "/conversations");
  expect(conversations.map((one) => one.myRole)).toEqual(["owner"]);
});

test("a_message_deep_in_the_history_is_found_and_shown", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  for (let i = 0; i < 260; i++) await bruno.send(dm, i === 20 ? "the needle in the haystack" : `straw ${i}`);
  const { page } = await (await Device.new()).signIn(ana, `/c/${dm}`);
  await page.getByRole("article", { name: /straw 259/ }).waitFor();
  await page.getByRole("button", { name: "Search in this conversation" }).click();
  await page.getByRole("searchbox", { name: "Search in this conversation" }).fill("needle");
  await page.getByRole("button", { name: /needle in the haystack/ }).click();
  await page.getByRole("article", { name: /needle in the haystack/ }).waitFor();
  await eventually("the message on the screen", () => page.getByRole("article", { name: /needle in the haystack/ }).evaluate((row) => {
    const { top, bottom } = row.getBoundingClientRect();
    return top > 64 && bottom < innerHeight;
  }));
  await page.getByRole("button", { name: "Jump to the newest" }).click();
  await eventually("the newest on the screen", () => page.getByRole("article", { name: /straw 259/ }).isVisible());
});

test("reading_goes_on_where_it_stopped_however_far_up_that_is", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  for (let i = 0; i < 230; i++) await bruno.send(dm, `straw ${i}`);
  await ana.api("POST", `/conversations/${dm}/receipts`, { deliveredSeq: 40, readSeq: 40 });
  const { page } = await (await Device.new()).signIn(ana, `/c/${dm}`);
  await page.getByRole("article", { name: /straw 229/ }).waitFor();
  await page.getByRole("button", { name: "To the first new message" }).click();
  await page.getByRole("separator", { name: "New messages" }).waitFor();
  await eventually("the first new message on the screen", () => page.getByRole("article", { name: /straw 40,/ }).evaluate((row) => {
    const { top, bottom } = row.getBoundingClientRect();
    return top > 64 && bottom < innerHeight;
  }));
});

test("a_draft_is_kept_per_conversation", async () => {
  const [ana, bruno, carmen] = [await Person.named("Ana"), await Person.named("Bruno"), await Person.named("Carmen")];
  await ana.send(await ana.dm(bruno), "to Bruno");
  await ana.send(await ana.dm(carmen), "to Carmen");
  const here = await (await Device.new()).signIn(ana);
  await here.open("Bruno");
  await here.composer.fill("not finished");
  await here.open("Carmen");
  expect(await here.composer.inputValue()).toBe("");
  await here.page.getByRole("link", { name: /Bruno.*Draft: not finished/ }).click();
  expect(await here.composer.inputValue()).toBe("not finished");
  await here.page.reload();
  await eventually("the draft after a reload", async () => (await here.composer.inputValue()) === "not finished");
});

test("logging_out_leaves_nothing_on_the_screen", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  await ana.send(await ana.dm(bruno), "secret");
  const { page } = await (await Device.new()).signIn(ana, "/settings");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  expect(await page.locator("body").textContent()).not.toContain("secret");
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});
