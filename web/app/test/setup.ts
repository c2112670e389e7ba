import { spawn, type ChildProcess } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { TestProject } from "vitest/node";
import { makeCertificate, type Certificate } from "./pushService.ts";

declare module "vitest" {
  interface ProvidedContext {
    url: string;
    /** Push services that show it are believed by the server; `null` where the tests did not start that. */
    certificate: Certificate | null;
  }
}

const READY_MS = 60_000;
const binary = resolve(process.env["TERTULIA_BIN"] ?? join(import.meta.dirname, "../../../target/debug/tertulia"));

/** The server for all tests: one that runs already at TERTULIA_URL, or the binary (TERTULIA_BIN) on a free port with an empty folder. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const url = process.env["TERTULIA_URL"];
  if (url !== undefined) {
    project.provide("url", url);
    project.provide("certificate", null);
    return async () => {};
  }
  if (!existsSync(binary)) throw new Error(`no binary at ${binary}: build tertulia-server with the web app in it, or name one in TERTULIA_BIN`);
  const data = await mkdtemp(join(tmpdir(), "tertulia-web-"));
  const certificate = makeCertificate();
  project.provide("certificate", certificate);
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("TERTULIA_"));
  const child = spawn(binary, ["serve", "--listen", "127.0.0.1:0", "--data", data], {
    env: { ...Object.fromEntries(inherited), TERTULIA_RATE_LIMITS: "off", ...notifying(certificate) },
    stdio: ["ignore", "ignore", "pipe"],
  });
  project.provide("url", await listening(child));
  return async () => {
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGTERM");
    await ended;
    await rm(data, { recursive: true, force: true });
    await rm(dirname(certificate.certFile), { recursive: true, force: true });
  };
}

/** Web Push alone, to push services on this machine. */
function notifying({ certFile }: Certificate): Record<string, string> {
  const { d } = generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey.export({ format: "jwk" });
  return {
    TERTULIA_PUSH__WEBPUSH_PRIVATE_KEY: String(d),
    // Nobody asks for it; but it may not be one of the names that are nobody's.
    TERTULIA_PUSH__WEBPUSH_SUBJECT: "mailto:tests@tertulia.test.net",
    TERTULIA_PUSH__WEBPUSH_PRIVATE_ADDRESSES: "on",
    TERTULIA_PUSH__CA_FILE: certFile,
    TERTULIA_PUSH__GRACE_MS: "300",
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
