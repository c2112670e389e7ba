import { expect, test } from "vitest";
import { en } from "./en";
import { es } from "./es";
import { languageOf, translator } from "./translate";

const holes = (entry: string | { one: string; other: string }) =>
  [...new Set((typeof entry === "string" ? entry : entry.other).match(/\{\w+\}/g) ?? [])].sort();

test("each_text_takes_the_same_values_in_both_languages", () => {
  for (const key of Object.keys(en) as (keyof typeof en)[]) expect(holes(es[key]), key).toEqual(holes(en[key]));
});

test("one_and_many_are_told_apart", () => {
  const t = translator("en");
  expect(t("waiting", { count: 1 })).toBe("1 message is waiting.");
  expect(t("waiting", { count: 1234 })).toBe("1,234 messages are waiting.");
  expect(translator("es")("waiting", { count: 3 })).toBe("3 mensajes esperan.");
});

test("a_value_is_put_in_as_it_is", () => {
  expect(translator("en")("typingOne", { name: "{count} $& <b>" })).toBe("{count} $& <b> is typing…");
});

test("the_browser_language_is_taken_where_there_is_one", () => {
  expect(languageOf(["fr-FR", "es-MX", "en"])).toBe("es");
  expect(languageOf(["fr"])).toBe("en");
  expect(languageOf(["constructor"])).toBe("en");
});
