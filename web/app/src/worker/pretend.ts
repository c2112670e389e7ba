// A service worker's scope for tests: what was shown, opened and asked can be looked at.

import { NOTHING_KNOWN, type Kept, type Known } from "./kept";
import type { Asked, Reply, ToPage } from "./messages";
import type { Scope, WindowClient } from "./scope";

export const ORIGIN = "https://chat.example.org";

type Answer = { [T in ToPage["t"]]?: (message: ToPage & { t: T }) => Asked[T] };

/** A window of the app that says this when it is asked; without, one that says nothing. */
export class PretendWindow implements WindowClient {
  readonly heard: ToPage[] = [];
  focused = false;
  visibilityState: DocumentVisibilityState = "hidden";
  url = `${ORIGIN}/`;
  wasFocused = false;

  constructor(private readonly answers: Answer = {}) {}

  at(conversationId: string | null, isLooking: boolean): this {
    this.focused = isLooking;
    this.visibilityState = isLooking ? "visible" : "hidden";
    this.answers.where = () => ({ conversationId, isLooking });
    this.answers.open = () => true;
    return this;
  }

  async focus(): Promise<void> {
    this.wasFocused = true;
  }

  postMessage(message: ToPage, transfer: Transferable[] = []): void {
    this.heard.push(message);
    const answer = this.answers[message.t] as ((message: ToPage) => unknown) | undefined;
    const [port] = transfer as MessagePort[];
    if (answer !== undefined) port?.postMessage(answer(message));
  }
}

export interface Shown {
  title: string;
  tag: string;
  body: string;
  data: unknown;
  silent: boolean;
  renotify: boolean;
  actions: { action: string; type?: string }[];
}

export function pretend({ windows = [], answer = async () => new Response("{}"), syncs = true }: {
  windows?: readonly PretendWindow[];
  answer?: (path: string, options: RequestInit) => Promise<Response>;
  syncs?: boolean;
} = {}) {
  const shown: Shown[] = [];
  const seen = { shown, opened: [] as string[], badges: [] as number[], asked: [] as { path: string; body: unknown }[], synced: [] as string[] };
  const scope = {
    location: { origin: ORIGIN },
    navigator: {
      languages: ["en-GB"],
      setAppBadge: async (count: number) => void seen.badges.push(count),
      clearAppBadge: async () => void seen.badges.push(0),
    },
    clients: {
      matchAll: async () => windows,
      openWindow: async (link: string) => void seen.opened.push(link),
    },
    registration: {
      showNotification: async (title: string, options: Omit<Shown, "title">) => {
        const at = shown.findIndex((one) => one.tag === options.tag);
        if (at >= 0) shown.splice(at, 1);
        shown.push({ ...options, title });
      },
      getNotifications: async ({ tag }: { tag?: string } = {}) => shown.filter((one) => tag === undefined || one.tag === tag),
      ...(syncs ? { sync: { register: async (tag: string) => void seen.synced.push(tag) } } : {}),
    },
    fetch: (path: string, options: RequestInit = {}) => {
      seen.asked.push({ path, body: options.body === undefined ? null : JSON.parse(String(options.body)) });
      return answer(path, options);
    },
  };
  return { scope: scope as unknown as Scope, ...seen };
}

export function pretendKept(known: Partial<Known> = {}): Kept {
  let present: Known = { ...NOTHING_KNOWN, ...known };
  const replies = new Map<string, Reply>();
  return {
    known: async () => present,
    learn: async (change) => void (present = { ...present, ...change }),
    replies: async () => [...replies.values()].sort((a, b) => a.at - b.at),
    keep: async (reply) => void replies.set(reply.name, reply),
    drop: async (name) => void replies.delete(name),
    forget: async () => {
      present = { ...NOTHING_KNOWN, language: present.language };
      replies.clear();
    },
  };
}
