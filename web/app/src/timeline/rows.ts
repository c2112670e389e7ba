import type { Message, Ms } from "@tertulia/client";
import { dayOf } from "./days";

/** A message as it stands in its column: what is drawn above it, and where it is in the run of its sender. */
export interface Row {
  key: number;
  message: Message;
  /** The day begins here: its separator is above. */
  day: Ms | null;
  /** The first unread one: the marker is above. */
  unread: boolean;
  first: boolean;
  last: boolean;
}

/** Messages of one person this near to each other are drawn as one run. */
const RUN_MS = 5 * 60_000;

function sameRun(a: Message, b: Message): boolean {
  return a.senderId === b.senderId && b.createdAt - a.createdAt < RUN_MS && dayOf(a.createdAt) === dayOf(b.createdAt) && !b.gapAbove;
}

function equal(a: Message, b: Message): boolean {
  return (
    a === b ||
    (a.key === b.key && a.seq === b.seq && a.body === b.body && a.editedAt === b.editedAt && a.deletedAt === b.deletedAt &&
      a.isChanging === b.isChanging && a.gapAbove === b.gapAbove && a.createdAt === b.createdAt && a.senderName === b.senderName &&
      a.senderAvatar === b.senderAvatar && alike(a.status, b.status) && alike(a.replyTo, b.replyTo) && alike(a.reactions, b.reactions))
  );
}

/** Of small values made anew each time; most of them are nothing at all. */
function alike(a: object | null, b: object | null): boolean {
  if (a === b) return true;
  if (a === null || b === null) return false;
  if (Array.isArray(a) && Array.isArray(b) && a.length === 0 && b.length === 0) return true;
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * Rows of the messages. `unreadAfter`: the marker stands above the first message of others beyond this seq. A row that looks as it did in
 * `before` is the same object, whatever object its message is now: what did not change is not drawn again.
 */
export function rowsOf(messages: readonly Message[], me: string, unreadAfter: number | null, before: readonly Row[] = []): readonly Row[] {
  const known = new Map(before.map((row) => [row.key, row]));
  let marked = unreadAfter === null;
  let same = messages.length === before.length;
  const begins = messages.map((message, at) => {
    const above = messages[at - 1];
    const unread = !marked && message.senderId !== me && message.seq !== null && message.seq > (unreadAfter ?? 0);
    marked ||= unread;
    const day = above === undefined || dayOf(above.createdAt) !== dayOf(message.createdAt);
    return { unread, day, first: unread || above === undefined || !sameRun(above, message) };
  });
  const rows = messages.map((message, at): Row => {
    const { unread, day, first } = begins[at]!;
    const last = begins[at + 1]?.first ?? true;
    const old = known.get(message.key);
    const isSame =
      old !== undefined && old.unread === unread && old.first === first && old.last === last && (old.day !== null) === day && equal(old.message, message);
    same &&= isSame && before[at] === old;
    return isSame ? old : { key: message.key, message, day: day ? message.createdAt : null, unread, first, last };
  });
  return same ? before : rows;
}

/** How a list of rows relates to the one before: what the virtual list must know to keep its place. */
export interface Window {
  first: number | undefined;
  last: number | undefined;
  length: number;
  /** Grew at its beginning: the place is kept from the end. */
  shift: boolean;
  /** Another page altogether: nothing is kept. */
  generation: number;
}

export const noWindow: Window = { first: undefined, last: undefined, length: 0, shift: false, generation: 0 };

export function windowOf(rows: readonly Row[], before: Window): Window {
  const first = rows[0]?.key;
  const last = rows.at(-1)?.key;
  if (first === before.first && last === before.last && rows.length === before.length) return before;
  const has = (key: number | undefined) => key !== undefined && rows.some((row) => row.key === key);
  // One end stays where it is; where both are others it is another page, though some of it was shown before.
  const overlaps = before.length === 0 || rows.length === 0 || first === before.first || has(before.last);
  return {
    first,
    last,
    length: rows.length,
    shift: overlaps && before.length > 0 && first !== before.first && has(before.last),
    generation: before.generation + (overlaps && before.length > 0 ? 0 : 1),
  };
}
