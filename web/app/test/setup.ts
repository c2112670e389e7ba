import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    url: string;
  }
}

const READY_MS = 60_000;
const binary = resolve(process.env["TERTULIA_BIN"] ?? join(import.meta.dirname, "../../../target/debug/tertulia"));

/** The server for all tests: one that runs already at TERTULIA_URL, or the binary (TERTULIA_BIN) on a free port with an empty folder. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const url = process.env["TERTULIA_URL"];
  if (url !== undefined) {
    project.provide("url", url);
    return async () => {};
  }
  if (!existsSync(binary)) throw new Error(`no binary at ${binary}: build tertulia-server with the web app in it, or name one in TERTULIA_BIN`);
  const data = await mkdtemp(join(tmpdir(), "tertulia-web-"));
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("TERTULIA_"));
  const child = spawn(binary, ["serve", "--listen", "127.0.0.1:0", "--data", data], {
    env: { ...Object.fromEntries(inherited), TERTULIA_RATE_LIMITS: "off" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  project.provide("url", await listening(child));
  return async () => {
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGTERM");
    await ended;
    await rm(data, { recursive: true, force: true });
  };
}

function listening(child: ChildProcess): Promise<string> {
  return new Promise((done, fail) => {
    let log = "";
    const late = setTimeout(() => fail(new Error(`the server did not listen within ${READY_MS} ms:\n${log}`)), READY_MS);
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      log += text;
      const line = /^listening on (http:\/\/127\.0\.0\.1:\d+)$/m.exec(log);
      if (line?.[1] === undefined) return;
      clearTimeout(late);
      done(line[1]);
    });
    child.once("error", fail);
    child.once("exit", (code) => fail(new Error(`the server ended (${code}) before it listened:\n${log}`)));
  });
}
