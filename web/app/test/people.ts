import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, inject } from "vitest";
import { Link } from "./link.ts";

export const DEADLINE_MS = Number(process.env["WEB_DEADLINE_MS"] ?? 15_000);
const LAUNCHING = { executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: ["--no-sandbox"] };

let browser: Browser;
const devices: Device[] = [];

/** A browser for the tests of a file. After each test: no device may have seen a fault. */
export function useBrowser(): void {
  beforeAll(async () => {
    browser = await chromium.launch(LAUNCHING);
  });
  afterEach(async () => {
    const faults = devices.flatMap((device) => device.faults);
    for (const device of devices.splice(0)) await device.close();
    expect(faults, "faults in the pages").toEqual([]);
  });
  afterAll(() => browser.close());
}

/** Somebody with an account, who acts through the REST interface and through devices. */
export class Person {
  private constructor(
    readonly name: string,
    readonly email: string,
    readonly password: string,
    readonly id: string,
    private readonly token: string,
  ) {}

  static async named(name: string): Promise<Person> {
    const email = `${name.normalize("NFD").replace(/[^a-z]/giu, "").toLowerCase() || "somebody"}.${randomUUID().slice(0, 8)}@example.org`;
    const password = `the password of ${name}`;
    const { token, user } = (await request("POST", "/auth/register", null, { email, password, name })) as { token: string; user: { id: string } };
    return new Person(name, email, password, user.id, token);
  }

  api<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T> {
    return request(method, `/api/v1${path}`, this.token, body) as Promise<T>;
  }

  async dm(other: Person): Promise<string> {
    return (await this.api<{ id: string }>("POST", "/conversations/dm", { email: other.email })).id;
  }

  async group(title: string, others: readonly Person[]): Promise<string> {
    return (await this.api<{ id: string }>("POST", "/conversations/group", { title, memberEmails: others.map((one) => one.email) })).id;
  }

  async send(conversation: string, body: string, more: object = {}): Promise<string> {
    const path = `/conversations/${conversation}/messages`;
    return (await this.api<{ messageId: string }>("POST", path, { clientMsgId: randomUUID(), body, ...more })).messageId;
  }

  async history(conversation: string): Promise<{ body: string; senderId: string; deletedAt: string | null; editedAt: string | null }[]> {
    return (await this.api<{ messages: [] }>("GET", `/conversations/${conversation}/messages?limit=200`)).messages;
  }
}

async function request(method: string, path: string, token: string | null, body?: unknown): Promise<unknown> {
  const answer = await fetch(inject("url") + path, {
    method,
    headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(token === null ? {} : { Authorization: `Bearer ${token}` }) },
    body: body === undefined ? null : JSON.stringify(body),
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text === "" ? null : JSON.parse(text);
}

/** What a page may say without being at fault: that a request failed, or was refused. */
const HARMLESS = /Failed to load resource|WebSocket connection to|net::ERR_/;

/** A browser of its own, with a line of its own to the server. */
export class Device {
  readonly faults: string[] = [];

  private constructor(
    readonly context: BrowserContext,
    readonly page: Page,
    readonly link: Link,
  ) {}

  static async new(options: BrowserContextOptions = {}, target: string = inject("url")): Promise<Device> {
    return Device.with((all) => browser.newContext(all), options, target);
  }

  /** With a folder of its own on the disk, as people's browsers have one; the others are like private windows, whose files another process keeps. */
  static async onDisk(): Promise<Device> {
    const folder = await mkdtemp(join(tmpdir(), "tertulia-device-"));
    const device = await Device.with((all) => chromium.launchPersistentContext(folder, { ...LAUNCHING, ...all }), {}, inject("url"));
    device.context.on("close", () => void rm(folder, { recursive: true, force: true, maxRetries: 5 }));
    return device;
  }

  private static async with(begin: (options: BrowserContextOptions) => Promise<BrowserContext>, options: BrowserContextOptions, target: string): Promise<Device> {
    const link = await Link.to(target);
    const context = await begin({ locale: "en-US", viewport: { width: 1280, height: 800 }, baseURL: link.url, permissions: ["clipboard-read", "clipboard-write"], ...options });
    context.setDefaultTimeout(DEADLINE_MS);
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => console.error(`violation: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
    });
    const device = new Device(context, await context.newPage(), link);
    device.watch(device.page);
    devices.push(device);
    return device;
  }

  /** Errors, violations of the policy, and requests to anybody else are faults. */
  watch(page: Page): void {
    page.on("console", (message) => message.type() === "error" && !HARMLESS.test(message.text()) && this.faults.push(message.text()));
    page.on("pageerror", (error) => this.faults.push(String(error.stack ?? error)));
    page.on("request", (sent) => /^https?:/.test(sent.url()) && !sent.url().startsWith(this.link.url) && this.faults.push(`asked elsewhere: ${sent.url()}`));
    page.on("dialog", (dialog) => {
      this.faults.push(`a dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
  }

  async signIn(person: Person, path = "/"): Promise<this> {
    await this.page.goto(path);
    await this.page.getByLabel("E-mail").fill(person.email);
    await this.page.getByLabel("Password", { exact: true }).fill(person.password);
    await this.page.getByRole("button", { name: "Sign in", exact: true }).click();
    await this.page.getByRole("heading", { name: "Sign in", exact: true }).waitFor({ state: "detached" });
    await this.page.locator("#main").waitFor({ state: "attached" });
    return this;
  }

  async open(title: string): Promise<void> {
    await this.page.getByRole("navigation").getByRole("link", { name: title }).first().click();
    await this.composer.waitFor();
  }

  get composer() {
    return this.page.getByRole("textbox", { name: "Write a message" });
  }

  async write(text: string): Promise<void> {
    await this.composer.fill(text);
    await this.page.getByRole("button", { name: "Send", exact: true }).click();
  }

  /** The row of a message that says this. */
  message(text: string) {
    return this.page.getByRole("article").filter({ hasText: text }).last();
  }

  status(text: string, state: "pending" | "sent" | "delivered" | "read" | "failed") {
    return this.message(text).locator(`[data-status=${state}]`);
  }

  /** The line is cut and the browser knows it. */
  async goOffline(): Promise<void> {
    this.link.cut();
    await this.context.setOffline(true);
  }

  async goOnline(): Promise<void> {
    this.link.mend();
    await this.context.setOffline(false);
  }

  async close(): Promise<void> {
    await this.context.close();
    this.link.close();
  }
}

export async function eventually<T>(what: string, look: () => Promise<T | false | null | undefined>, ms = DEADLINE_MS): Promise<T> {
  const until = performance.now() + ms;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (performance.now() > until) throw new Error(`waited ${ms} ms for ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
