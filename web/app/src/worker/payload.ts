/** What a push says, checked: whatever came, there is something to show. */
export interface Told {
  kind: "message" | "test" | "unknown";
  title: string;
  body: string;
  /** All that is unread; `null`: not said. */
  badge: number | null;
  conversationId: string | null;
  /** The newest message it is about; `null` for a test: each is news. */
  seq: number | null;
  /** Path and query of a page of the app. */
  link: string;
  /** Milliseconds since 1970. */
  sentAt: number | null;
  silent: boolean;
}

const SETTINGS = "/settings";

/** `text`: as the server sent it; `null` for a push without any. */
export function toldIn(text: string | null, origin: string, general: { newMessages: string; newMessagesText: string }): Told {
  const payload = record(text);
  const kind = payload["kind"] === "message" || payload["kind"] === "test" ? payload["kind"] : "unknown";
  const title = line(payload["title"]);
  const conversationId = kind === "test" ? null : line(payload["conversationId"]);
  const fallback = kind === "test" ? SETTINGS : conversationId === null ? "/" : `/c/${encodeURIComponent(conversationId)}`;
  return {
    kind,
    title: title ?? general.newMessages,
    // A notification with a title alone is one that tells no more on purpose.
    body: line(payload["body"]) ?? (title === null ? general.newMessagesText : ""),
    badge: count(payload["badge"]),
    conversationId,
    seq: kind === "test" ? null : count(payload["seq"]),
    link: kind === "test" ? SETTINGS : (pathWithin(origin, payload["link"]) ?? fallback),
    sentAt: moment(payload["sentAt"]),
    silent: payload["silent"] === true,
  };
}

function record(text: string | null): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function line(value: unknown): string | null {
  return typeof value === "string" && value.trim() !== "" ? value : null;
}

function count(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? Math.trunc(value) : null;
}

/** Milliseconds, or the form in which the server writes times elsewhere. */
function moment(value: unknown): number | null {
  return count(typeof value === "string" ? Date.parse(value) : value);
}

/** A notification leads nowhere but into the app. */
export function pathWithin(origin: string, link: unknown): string | null {
  if (typeof link !== "string") return null;
  try {
    const address = new URL(link, origin);
    // Two slashes would begin another host where this is opened.
    return address.origin === origin && !address.pathname.startsWith("//") ? address.pathname + address.search : null;
  } catch {
    return null;
  }
}
