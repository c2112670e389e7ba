// The worker of one tab. The workers of all tabs choose one of them by a lock: it opens the database and the connection, and does what all tabs ask.
// Nothing is remembered here for a page: when another worker leads, the page sends everything again.

import type { Failure, Opening } from "./generated/types.js";
import type { FromLeader, InInbox, OnBus, ToLeader, ToPage, ToWorker } from "./protocol.js";
import { inboxOf, lockOf, newId, versionOf } from "./protocol.js";
import init, { open, schemaVersion } from "./wasm/tertulia.js";
import type { Core } from "./wasm/tertulia.js";

/** A database that somebody still holds is tried again. */
const OPEN_EVERY_MS = 20;
const OPEN_FOR_MS = 10_000;

/** A goodbye to the server may take so long when another version wants to lead. */
const CLOSE_MS = 1000;

type Scope = {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: ToPage): void;
  tertuliaPanicked(what: string): void;
};
const scope = globalThis as unknown as Scope;

type Reply = (message: FromLeader) => void;

/** Another tab, as long as this one leads. */
interface Follower {
  reply: Reply;
  names: Set<string>;
}

const me = newId();
const followers = new Map<string, Follower>();
const tokens = new Map<number, { resolve(token: string | null): void; reject(error: Error): void }>();

let store = "";
let version = 0;
let core: Core | null = null;
let bus: BroadcastChannel | null = null;
let leader: { id: string; channel: BroadcastChannel } | null = null;
let letGo: () => void = () => {};
let isOver = false;
const queueing = new AbortController();

function toPage(message: ToPage): void {
  scope.postMessage(message);
}

/** The page ends this worker and starts another. */
function fatal(why: unknown): void {
  if (isOver) return;
  isOver = true;
  toPage({ t: "fatal", why: why instanceof Error ? `${why.name}: ${why.message}` : String(why) });
}

scope.tertuliaPanicked = (what) => {
  console.error(what);
  fatal(what);
};
addEventListener("error", (event) => fatal(event.message));
addEventListener("unhandledrejection", (event) => fatal(event.reason));

scope.onmessage = ({ data }) => {
  if (isOver) return;
  switch (data.t) {
    case "open":
      void start(data);
      break;
    case "close":
      void close();
      break;
    case "token": {
      const asked = tokens.get(data.n);
      tokens.delete(data.n);
      if ("failed" in data) asked?.reject(new Error("no token"));
      else asked?.resolve(data.token);
      break;
    }
    default:
      if (core !== null) take(core, data, toPage, null);
      // Where nobody leads yet, the page sends it again as soon as somebody does.
      else leader?.channel.postMessage({ from: me, message: data } satisfies InInbox);
  }
};

async function start(opening: ToWorker & { t: "open" }): Promise<void> {
  try {
    store = opening.store;
    await init();
    version = versionOf(schemaVersion());
    if (!("locks" in navigator)) {
      // A page without TLS: every tab is alone.
      await lead(opening);
      return;
    }
    listen();
    const lock = { signal: queueing.signal };
    await navigator.locks.request(lockOf(store), lock, () => lead(opening));
  } catch (error) {
    if (!queueing.signal.aborted) fatal(error);
  }
}

function listen(): void {
  // Held until this worker ends, whichever way: so the one that leads knows.
  void navigator.locks.request(inboxOf(store, me), () => new Promise<never>(() => {}));
  const inbox = new BroadcastChannel(inboxOf(store, me));
  inbox.onmessage = ({ data }: MessageEvent<InInbox>) => {
    if (isOver) return;
    const { from, message } = data;
    if (message.t === "answer" || message.t === "told") {
      if (from === leader?.id) toPage(message);
    } else if (core !== null) {
      const follower = followerOf(from);
      take(core, message, follower.reply, follower);
    }
  };
  bus = new BroadcastChannel(lockOf(store));
  bus.onmessage = ({ data }: MessageEvent<OnBus>) => {
    if (!isOver) hear(data);
  };
  tell({ t: "who", id: me, version });
}

function tell(message: OnBus): void {
  bus?.postMessage(message);
}

function hear(message: OnBus): void {
  switch (message.t) {
    case "who":
      if (core !== null) tell({ t: "leader", id: me, version });
      break;
    case "leader":
      if (message.version > version) void outdated();
      else if (message.version < version) tell({ t: "handOver", id: message.id, version });
      else if (message.id !== leader?.id) follow(message.id);
      break;
    case "handOver":
      if (message.id === me && message.version > version) void outdated();
  }
}

function follow(id: string): void {
  leader?.channel.close();
  leader = { id, channel: new BroadcastChannel(inboxOf(store, id)) };
  toPage({ t: "leader", id });
}

/** Holds the lock as long as it lasts. */
async function lead(opening: ToWorker & { t: "open" }): Promise<void> {
  const opened = await openCore({ server: opening.server, folder: `tertulia/${store}`, byCookie: opening.byCookie });
  if (opened === null) return;
  if (isOver) return opened.close();
  core = opened;
  leader?.channel.close();
  leader = null;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  tell({ t: "leader", id: me, version });
  toPage({ t: "leader", id: me });
  await held;
}

async function openCore(opening: Opening): Promise<Core | null> {
  const until = performance.now() + OPEN_FOR_MS;
  for (;;) {
    try {
      return await open(JSON.stringify(opening), askToken);
    } catch (error) {
      const failure = failureOf(error);
      if (failure === null) {
        fatal(error);
        return null;
      }
      if (failure.remedy === "again" && performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, OPEN_EVERY_MS));
        continue;
      }
      if (failure.code === "newer_version") toPage({ t: "outdated" });
      else if (failure.remedy === "remove") await remove(failure);
      else toPage({ t: "failed", failure: error as string });
      isOver = true;
      return null;
    }
  }
}

let tokenNumber = 0;

function askToken(refused: string | null): Promise<string | null> {
  const n = ++tokenNumber;
  toPage({ t: "askToken", n, refused });
  return new Promise((resolve, reject) => tokens.set(n, { resolve, reject }));
}

/** What the core refuses is text; anything else is broken. */
function failureOf(error: unknown): Failure | null {
  return typeof error === "string" ? (JSON.parse(error) as Failure) : null;
}

function followerOf(id: string): Follower {
  const known = followers.get(id);
  if (known) return known;
  const channel = new BroadcastChannel(inboxOf(store, id));
  const reply: Reply = (message) => {
    // To a tab that is gone nothing can be said.
    if (followers.has(id)) channel.postMessage({ from: me, message } satisfies InInbox);
  };
  const follower = { reply, names: new Set<string>() };
  followers.set(id, follower);
  // Granted when that tab is gone.
  void navigator.locks.request(inboxOf(store, id), { mode: "shared" }, () => {
    followers.delete(id);
    channel.close();
    for (const name of follower.names) core?.unsubscribe(name);
  });
  return follower;
}

function take(core: Core, message: ToLeader, reply: Reply, follower: Follower | null): void {
  try {
    switch (message.t) {
      case "call":
        core.call(message.call, message.again).then(
          (ok) => reply({ t: "answer", n: message.n, ok }),
          (error: unknown) => refuse(error, (failure) => reply({ t: "answer", n: message.n, failure })),
        );
        break;
      case "subscribe": {
        const { name, topic } = message;
        follower?.names.add(name);
        core.subscribe(name, topic, (value, failure) => {
          if (value !== null) reply({ t: "told", name, value });
          else if (failure !== undefined) refuse(failure, (failure) => reply({ t: "told", name, failure }));
        });
        break;
      }
      case "unsubscribe":
        follower?.names.delete(message.name);
        core.unsubscribe(message.name);
    }
  } catch (error) {
    refuse(error, (failure) => {
      if (message.t === "subscribe") reply({ t: "told", name: message.name, failure });
    });
  }
}

function refuse(error: unknown, tell: (failure: string) => void): void {
  const failure = failureOf(error);
  if (failure === null) fatal(error);
  else if (failure.remedy === "remove") void remove(failure);
  else tell(error as string);
}

/** The database can't be read any more. The server tells everything again; what waited to be sent is lost. */
async function remove(failure: Failure): Promise<void> {
  if (isOver) return;
  isOver = true;
  console.error(`the local database is given up: ${failure.detail}`);
  try {
    await core?.close();
    const root = await navigator.storage.getDirectory();
    const all = await root.getDirectoryHandle("tertulia");
    await all.removeEntry(store, { recursive: true });
  } catch (error) {
    console.error(error);
  }
  toPage({ t: "fatal", why: failure.detail });
}

/** Another tab is newer: it leads from now on, and this one has to be reloaded. */
async function outdated(): Promise<void> {
  if (isOver) return;
  isOver = true;
  await end();
  toPage({ t: "outdated" });
}

async function close(): Promise<void> {
  isOver = true;
  await end();
  toPage({ t: "closed" });
}

async function end(): Promise<void> {
  queueing.abort();
  const late = new Promise((resolve) => setTimeout(resolve, CLOSE_MS));
  await Promise.race([core?.close(), late]).catch(() => {});
  letGo();
}
