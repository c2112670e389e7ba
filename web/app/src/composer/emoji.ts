export interface Emoji {
  emoji: string;
  /** Its name and the words it is found by. */
  words: string;
}

/** By emojibase's group; some numbers are empty. */
export type Groups = readonly (readonly [emoji: string, words: string][] | null)[];

export const quickReactions = ["👍", "❤️", "😂", "😮", "😢", "🙏"] as const;

export async function emojiOf(language: string): Promise<Groups> {
  const module = language === "es" ? await import("virtual:emoji/es") : await import("virtual:emoji/en");
  return module.default;
}

function plain(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

/** Those which have every word of the question; where a word begins with it first. */
export function searchEmoji(groups: Groups, question: string, limit = 96): Emoji[] {
  const parts = plain(question).split(/\s+/u).filter((part) => part !== "");
  if (parts.length === 0) return [];
  const found: { emoji: string; words: string; rank: number }[] = [];
  for (const group of groups) {
    for (const [emoji, words] of group ?? []) {
      const text = plain(words);
      if (!parts.every((part) => text.includes(part))) continue;
      const first = parts[0] ?? "";
      const rank = text === first ? 0 : text.startsWith(first) ? 1 : text.includes(` ${first}`) ? 2 : 3;
      found.push({ emoji, words, rank });
    }
  }
  return found.sort((a, b) => a.rank - b.rank).slice(0, limit);
}

/** The most recent first, each once. */
export function withRecent(recent: readonly string[], emoji: string, limit = 24): string[] {
  return [emoji, ...recent.filter((other) => other !== emoji)].slice(0, limit);
}

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** How many emoji a body is made of, if of nothing else; 0 otherwise, or when they are too many to be drawn large. */
export function loneEmoji(body: string): number {
  const text = body.trim();
  if (text.length > 60 || /[\p{L}\p{P}]/u.test(text)) return 0;
  let count = 0;
  for (const { segment } of segmenter.segment(text)) {
    if (/^\s+$/u.test(segment)) continue;
    if (!/\p{Extended_Pictographic}|\p{Regional_Indicator}{2}|[0-9]\u{FE0F}?\u{20E3}/u.test(segment) || /^[©®™\d]$/u.test(segment)) return 0;
    count++;
  }
  return count <= 6 ? count : 0;
}
