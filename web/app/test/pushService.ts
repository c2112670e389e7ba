import { execFileSync } from "node:child_process";
import { createDecipheriv, createECDH, hkdfSync, randomBytes, type ECDH } from "node:crypto";
import { mkdtempSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BrowserContext } from "playwright-core";
import { eventually } from "./people.ts";

/** The permissions of a browser whose person wants to be notified. */
export const GRANTED = { permissions: ["clipboard-read", "clipboard-write", "notifications", "background-sync"] };
/** Not asked yet: with any other permission given, Chromium counts this one as refused. */
export const UNASKED = { permissions: undefined as unknown as string[] };
export const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1";

/** The certificate of the push services of the tests, and the key of it. */
export interface Certificate {
  certFile: string;
  keyFile: string;
}

/** Signed by itself, for this machine. */
export function makeCertificate(): Certificate {
  const folder = mkdtempSync(join(tmpdir(), "tertulia-push-service-"));
  const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
  try {
    execFileSync("openssl", ["req", "-x509", "-days", "2", ...key, ...subject, "-out", certFile], { stdio: "pipe" });
  } catch (error) {
    throw new Error(`openssl makes the certificate of the tests' push service; on Debian: apt install openssl\n${String(error)}`);
  }
  return { certFile, keyFile };
}

/** Takes pushes as a browser's vendor does (RFC 8030), for one browser, whose keys it has too. */
export class PushService {
  private readonly arrived: string[] = [];
  /** What is answered to a push; 201: taken. */
  status = 201;

  private constructor(
    private readonly server: Server,
    private readonly keys: ECDH,
    private readonly auth: Buffer,
    readonly url: string,
  ) {}

  static async start(certificate: Certificate | null): Promise<PushService> {
    if (certificate === null) throw new Error("these tests start the server themselves: it has to believe their push service");
    const { certFile, keyFile } = certificate;
    const keys = createECDH("prime256v1");
    keys.generateKeys();
    const auth = randomBytes(16);
    const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("a push service without a port");
    const service = new PushService(server, keys, auth, `https://localhost:${address.port}`);
    server.on("request", (request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        if (service.status === 201) service.arrived.push(service.read(Buffer.concat(parts)));
        response.writeHead(service.status).end();
      });
    });
    return service;
  }

  /** In place of the browser's own, which Debian's Chromium has none of: `PushManager` alone, which keeps its subscription over reloads. */
  async serve(context: BrowserContext): Promise<void> {
    const keys = { p256dh: this.keys.getPublicKey("base64url"), auth: this.auth.toString("base64url") };
    await context.addInitScript(({ url, keys }) => {
      const KEPT = "test.subscription";
      const read = () => {
        const kept = JSON.parse(localStorage.getItem(KEPT) ?? "null") as { endpoint: string; key: number[] } | null;
        if (kept === null) return null;
        return {
          endpoint: kept.endpoint,
          options: { userVisibleOnly: true, applicationServerKey: new Uint8Array(kept.key).buffer },
          toJSON: () => ({ endpoint: kept.endpoint, expirationTime: null, keys }),
          unsubscribe: async () => {
            localStorage.removeItem(KEPT);
            return true;
          },
        };
      };
      const manager = globalThis.PushManager?.prototype as unknown as Record<string, unknown> | undefined;
      if (manager === undefined) return;
      manager["getSubscription"] = async () => read();
      manager["subscribe"] = async ({ applicationServerKey }: { applicationServerKey: Uint8Array }) => {
        localStorage.setItem(KEPT, JSON.stringify({ endpoint: `${url}/${crypto.randomUUID()}`, key: [...applicationServerKey] }));
        return read();
      };
    }, { url: this.url, keys });
  }

  /** The next push, as the browser hands it to the service worker. */
  next(): Promise<string> {
    return eventually("a push", async () => this.arrived.shift());
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** RFC 8291, section 3.4, and RFC 8188, section 2: one record. */
  private read(body: Buffer): string {
    const salt = body.subarray(0, 16);
    const idLength = body.readUInt8(20);
    const theirs = body.subarray(21, 21 + idLength);
    const sealed = body.subarray(21 + idLength);
    const info = Buffer.concat([Buffer.from("WebPush: info\0"), this.keys.getPublicKey(), theirs]);
    const shared = Buffer.from(hkdfSync("sha256", this.keys.computeSecret(theirs), this.auth, info, 32));
    const derived = (name: string, length: number) => Buffer.from(hkdfSync("sha256", shared, salt, Buffer.from(`Content-Encoding: ${name}\0`), length));
    const opening = createDecipheriv("aes-128-gcm", derived("aes128gcm", 16), derived("nonce", 12));
    opening.setAuthTag(sealed.subarray(-16));
    const padded = Buffer.concat([opening.update(sealed.subarray(0, -16)), opening.final()]);
    return padded.subarray(0, padded.lastIndexOf(2)).toString("utf8");
  }
}
