import { readFile } from "node:fs/promises";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { extname, join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { Device, Person, useBrowser } from "./people.ts";

useBrowser();

const DIST = join(import.meta.dirname, "../../example/dist");
const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

let site: Server;
let url: string;

/** The example as somebody serves their own app: its files, and behind them the server on the same origin. */
beforeAll(async () => {
  const { hostname: host, port } = new URL(inject("url"));
  const answer = async (asked: IncomingMessage, answered: ServerResponse) => {
    const path = new URL(asked.url ?? "/", inject("url")).pathname;
    const file = path === "/" ? "index.html" : path.startsWith("/assets/") ? path.slice(1) : null;
    if (file !== null) {
      answered.writeHead(200, { "content-type": TYPES[extname(file)] ?? "text/plain" }).end(await readFile(join(DIST, file)));
      return;
    }
    const onward = request({ host, port, method: asked.method, path: asked.url, headers: asked.headers }, (from) => {
      answered.writeHead(from.statusCode ?? 502, from.headers);
      from.pipe(answered);
    });
    onward.on("error", () => asked.socket.destroy());
    asked.pipe(onward);
  };
  site = createServer((asked, answered) => void answer(asked, answered).catch(() => asked.socket.destroy()));
  site.on("upgrade", (asked: IncomingMessage, near, head: Buffer) => {
    const far = connect(Number(port), host, () => {
      const lines = Array.from({ length: asked.rawHeaders.length / 2 }, (_, at) => `${asked.rawHeaders[2 * at]}: ${asked.rawHeaders[2 * at + 1]}`);
      far.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
      far.write(head);
      far.pipe(near).pipe(far);
    });
    for (const [one, other] of [[near, far], [far, near]] as const) one.on("error", () => other.destroy()).on("close", () => other.destroy());
  });
  await new Promise<void>((done) => site.listen(0, "127.0.0.1", done));
  const address = site.address();
  if (address === null || typeof address === "string") throw new Error("a site without a port");
  url = `http://127.0.0.1:${address.port}`;
});
afterAll(() => {
  site.closeAllConnections();
  site.close();
});

async function begin(person: Person, other: Person): Promise<Device["page"]> {
  const { page } = await Device.new({}, url);
  await page.goto("/");
  await page.getByPlaceholder("E-mail").fill(person.email);
  await page.getByPlaceholder("Password").fill(person.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: person.name }).waitFor();
  await page.getByRole("button", { name: other.name }).click();
  return page;
}

test("two_people_chat_in_the_example_of_sixty_lines", async () => {
  const [ana, bruno] = [await Person.named("Ana"), await Person.named("Bruno")];
  const dm = await ana.dm(bruno);
  await ana.send(dm, "the first");
  const [here, there] = [await begin(ana, bruno), await begin(bruno, ana)];
  const lines = (page: Device["page"]) => page.locator("p").filter({ has: page.locator("b") });
  const write = async (page: Device["page"], text: string) => {
    await page.getByPlaceholder("Message").fill(text);
    await page.getByRole("button", { name: "Send" }).click();
  };
  await write(here, "Hello Bruno");
  await lines(there).filter({ hasText: "Hello Bruno" }).waitFor();
  await write(there, "Hello Ana");
  await lines(here).filter({ hasText: "Hello Ana" }).waitFor();
  await lines(here).filter({ hasText: /Hello Bruno (sent|delivered|read)/ }).waitFor();
  expect(await lines(there).allInnerTexts()).toHaveLength(3);
  await here.reload();
  await here.getByRole("button", { name: "Bruno" }).click();
  await lines(here).filter({ hasText: "Hello Ana" }).waitFor();
});
