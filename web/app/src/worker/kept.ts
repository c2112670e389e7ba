// What the app and its service worker both know, in a database beside the client's: the worker can read neither that nor localStorage.

import type { Language } from "../i18n/translate";
import type { Reply } from "./messages";

export interface Known {
  /** Who has signed in here. */
  account: string | null;
  /** How this device's store names itself to the server. */
  deviceId: string | null;
  showsContent: boolean;
  vapidPublicKey: string | null;
  language: Language | null;
}

export const NOTHING_KNOWN: Known = { account: null, deviceId: null, showsContent: true, vapidPublicKey: null, language: null };

export interface Kept {
  known(): Promise<Known>;
  learn(change: Partial<Known>): Promise<void>;
  /** Oldest first. */
  replies(): Promise<Reply[]>;
  keep(reply: Reply): Promise<void>;
  drop(name: string): Promise<void>;
  /** All of it, but the language. */
  forget(): Promise<void>;
}

const NAME = "tertulia-notifications";
const KNOWN = "known";
const REPLIES = "replies";
/** The one row. */
const ROW = 0;

export function openKept(): Kept {
  return {
    known: () => within("readonly", async (stores) => ({ ...NOTHING_KNOWN, ...(await done<Partial<Known> | undefined>(stores(KNOWN).get(ROW))) })),
    learn: (change) => within("readwrite", async (stores) => {
      const known = await done<Partial<Known> | undefined>(stores(KNOWN).get(ROW));
      stores(KNOWN).put({ ...known, ...change }, ROW);
    }),
    replies: () => within("readonly", async (stores) => (await done<Reply[]>(stores(REPLIES).getAll())).sort((a, b) => a.at - b.at)),
    keep: (reply) => within("readwrite", async (stores) => void stores(REPLIES).put(reply)),
    drop: (name) => within("readwrite", async (stores) => void stores(REPLIES).delete(name)),
    forget: () => within("readwrite", async (stores) => {
      const known = await done<Partial<Known> | undefined>(stores(KNOWN).get(ROW));
      stores(KNOWN).put({ language: known?.language ?? null }, ROW);
      stores(REPLIES).clear();
    }),
  };
}

/** One transaction, durable when it resolves. A connection for each: an open one would keep a newer version of the app from changing the database. */
async function within<T>(mode: IDBTransactionMode, work: (store: (name: string) => IDBObjectStore) => Promise<T>): Promise<T> {
  const opening = indexedDB.open(NAME, 1);
  opening.onupgradeneeded = () => {
    opening.result.createObjectStore(KNOWN);
    opening.result.createObjectStore(REPLIES, { keyPath: "name" });
  };
  const database = await done(opening);
  try {
    const transaction = database.transaction([KNOWN, REPLIES], mode, { durability: "strict" });
    const ended = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
    // It is awaited below; where the work fails first, that is what is told.
    ended.catch(() => {});
    const value = await work((name) => transaction.objectStore(name));
    await ended;
    return value;
  } finally {
    database.close();
  }
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
