import { en, type Dictionary, type Key } from "./en";
import { es } from "./es";

export const languages = { en: "English", es: "Español" } as const;
export type Language = keyof typeof languages;

const dictionaries: Record<Language, Dictionary> = { en, es };

export type Values = Record<string, string | number>;
export type Translate = (key: Key, values?: Values) => string;

/** The first of the browser's languages that there is. */
export function languageOf(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const short = tag.toLowerCase().split("-")[0] ?? "";
    if (Object.hasOwn(dictionaries, short)) return short as Language;
  }
  return "en";
}

/** How the browser writes that language: times and dates of en-GB are not those of en-US. */
export function localeOf(language: Language, wanted: readonly string[]): string {
  return wanted.find((tag) => tag.toLowerCase().split("-")[0] === language) ?? language;
}

export function translator(language: Language): Translate {
  const words = dictionaries[language];
  const plural = new Intl.PluralRules(language);
  const number = new Intl.NumberFormat(language);
  return (key, values = {}) => {
    const entry = words[key];
    const count = values["count"];
    const text = typeof entry === "string" ? entry : plural.select(Number(count)) === "one" ? entry.one : entry.other;
    return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
      const value = values[name];
      return value === undefined ? whole : typeof value === "number" ? number.format(value) : value;
    });
  };
}
