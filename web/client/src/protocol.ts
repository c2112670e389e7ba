// What pages, their workers and the workers of other tabs say to each other. Values cross as the JSON text that the core wrote; only a page reads it.

/**
 * Raised with each change of what is below, or of the calls and shapes of the core. The version of the local database counts too: see `versionOf`. The
 * messages `who`, `leader` and `handOver` stay as they are for ever, since all versions must understand them.
 */
export const PROTOCOL = 3;

/** Of two tabs, the higher one leads. */
export function versionOf(schema: number): number {
  return PROTOCOL * 1000 + schema;
}

/** What only the worker that leads can do. */
export type ToLeader =
  /** `again`: it was sent before, and whether it was done is not known. */
  | { t: "call"; n: number; call: string; again: boolean }
  | { t: "subscribe"; name: string; topic: string }
  | { t: "unsubscribe"; name: string };

export type FromLeader =
  | { t: "answer"; n: number; ok: string }
  | { t: "answer"; n: number; failure: string }
  | { t: "told"; name: string; value: string }
  | { t: "told"; name: string; failure: string };

export type ToWorker =
  | { t: "open"; server: string; store: string; byCookie: boolean }
  | { t: "token"; n: number; token: string | null }
  | { t: "token"; n: number; failed: true }
  | { t: "close" }
  | ToLeader;

export type ToPage =
  /** Another worker leads (it may be this one): what was sent to the one before may be lost. */
  | { t: "leader"; id: string }
  | { t: "askToken"; n: number; refused: string | null }
  /** The database can't be opened. */
  | { t: "failed"; failure: string }
  /** This worker is of no use any more. */
  | { t: "fatal"; why: string }
  /** Another tab runs a newer version. */
  | { t: "outdated" }
  | { t: "closed" }
  | FromLeader;

/** To all workers of a store. */
export type OnBus =
  | { t: "who"; id: string; version: number }
  | { t: "leader"; id: string; version: number }
  /** To the one that leads and is older. */
  | { t: "handOver"; id: string; version: number };

/** To one worker. */
export type InInbox = { from: string; message: ToLeader | FromLeader };

export function lockOf(store: string): string {
  return `tertulia:${store}`;
}

/** The channel of one worker, and the lock that it holds as long as it lives. */
export function inboxOf(store: string, id: string): string {
  return `tertulia:${store}:${id}`;
}

/** A UUID of version 7 (RFC 9562). Not by `crypto.randomUUID`, which pages without TLS do not have. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  let ms = Date.now();
  for (let at = 5; at >= 0; at--) {
    bytes[at] = ms % 256;
    ms = Math.floor(ms / 256);
  }
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
