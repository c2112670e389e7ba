import { expect, test } from "vitest";
import { emojiOf, loneEmoji, searchEmoji, withRecent } from "./emoji";

test("emoji_are_found_by_words_of_either_language_with_or_without_accents", async () => {
  const en = await emojiOf("en");
  const es = await emojiOf("es");
  expect(searchEmoji(en, "red heart")[0]?.emoji).toBe("❤️");
  expect(searchEmoji(es, "corazon rojo").map((e) => e.emoji)).toContain("❤️");
  expect(searchEmoji(en, "zzzz")).toEqual([]);
  expect(searchEmoji(en, " ")).toEqual([]);
  expect(en.flatMap((group) => group ?? []).length).toBeGreaterThan(1500);
});

test("recent_ones_come_first_and_once", () => {
  expect(withRecent(["a", "b"], "b")).toEqual(["b", "a"]);
  expect(withRecent(["a", "b"], "c", 2)).toEqual(["c", "a"]);
});

test("only_a_few_lone_emoji_are_large", () => {
  expect(loneEmoji("👍")).toBe(1);
  expect(loneEmoji(" 👩‍👩‍👧‍👦 🇪🇸❤️ ")).toBe(3);
  expect(loneEmoji("1️⃣")).toBe(1);
  expect(loneEmoji("👍 ok")).toBe(0);
  expect(loneEmoji("123")).toBe(0);
  expect(loneEmoji("©")).toBe(0);
  expect(loneEmoji("")).toBe(0);
  expect(loneEmoji("👍".repeat(10))).toBe(0);
});
