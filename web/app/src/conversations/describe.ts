import type { Conversation, Message } from "@tertulia/client";
import type { Translate } from "../i18n/translate";

export function titleOf(conversation: Conversation): string {
  return conversation.type === "dm" ? (conversation.peer?.name ?? "") : (conversation.title ?? "");
}

/** What stands in for the picture: the other person's, or the group's own colour. */
export function faceOf(conversation: Conversation): { id: string; picture: string | null; square: boolean } {
  return conversation.type === "dm"
    ? { id: conversation.peer?.id ?? conversation.id, picture: conversation.peer?.avatarUrl ?? null, square: false }
    : { id: conversation.id, picture: null, square: true };
}

/** A message in one line: who (where that is not plain), and what. */
export function previewOf(message: Message, conversation: Conversation, me: string, t: Translate): { who: string | null; text: string } {
  const who = message.senderId === me ? (conversation.type === "group" ? t("you") : null) : conversation.type === "group" ? message.senderName : null;
  return { who, text: message.deletedAt === null ? message.body.replace(/\s+/gu, " ").trim() : t("deletedPreview") };
}

export function isMuted(conversation: Conversation, now: number): boolean {
  return conversation.mutedUntil !== null && conversation.mutedUntil > now;
}

/** Whether a name or an address begins with each of the words, accents aside. */
export function fits(conversation: Conversation, question: string): boolean {
  const plain = (text: string) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const words = plain(question).split(/\s+/u).filter(Boolean);
  const text = ` ${plain(`${titleOf(conversation)} ${conversation.peer?.email ?? ""}`)}`;
  return words.every((word) => text.includes(` ${word}`) || (word.length >= 3 && text.includes(word)));
}

/** A piece of a body around what was found, in three parts; null where it is not literally in there. */
export function excerpt(body: string, question: string): [before: string, found: string, after: string] | null {
  const text = body.replace(/\s+/gu, " ");
  const at = text.toLowerCase().indexOf(question.trim().toLowerCase());
  if (at < 0 || text.toLowerCase().length !== text.length) return null;
  const end = at + question.trim().length;
  const from = at > 40 ? text.indexOf(" ", at - 32) + 1 : 0;
  return [(from > 0 ? "…" : "") + text.slice(Math.min(from, at), at), text.slice(at, end), text.slice(end, end + 160)];
}
