import { useSyncExternalStore } from "react";
import type { Language } from "../i18n/translate";

export type Theme = "system" | "light" | "dark";

/** What is chosen on this device; read by boot.js too, before the first paint. */
export interface Preferences {
  theme: Theme;
  /** null: as the browser. */
  language: Language | null;
  recentEmoji: readonly string[];
  /** The person wants no notifications on this device. */
  isNotNotified: boolean;
  /** Its notifications say neither who nor what. */
  hidesContent: boolean;
  /** Until then notifications are not offered again. Milliseconds since 1970. */
  askAgainAt: number;
}

const KEY = "tertulia.preferences";
/** The browser's own bars take the colour of the list (`--panel`). */
const BARS = { light: "#f3eee8", dark: "#1b1716" };
const DEFAULTS: Preferences = { theme: "system", language: null, recentEmoji: [], isNotNotified: false, hidesContent: false, askAgainAt: 0 };

const listeners = new Set<() => void>();
let present = read();

function read(): Preferences {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Preferences>;
    return {
      theme: kept.theme === "light" || kept.theme === "dark" ? kept.theme : "system",
      language: kept.language === "en" || kept.language === "es" ? kept.language : null,
      recentEmoji: Array.isArray(kept.recentEmoji) ? kept.recentEmoji.filter((e) => typeof e === "string") : [],
      isNotNotified: kept.isNotNotified === true,
      hidesContent: kept.hidesContent === true,
      askAgainAt: typeof kept.askAgainAt === "number" ? kept.askAgainAt : 0,
    };
  } catch {
    return DEFAULTS;
  }
}

export function setPreferences(change: Partial<Preferences>): void {
  present = { ...present, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(present));
  } catch {
    // Storage is closed to us: it holds for this page.
  }
  apply();
}

function apply(): void {
  const root = document.documentElement;
  if (present.theme === "system") delete root.dataset["theme"];
  else root.dataset["theme"] = present.theme;
  for (const meta of document.querySelectorAll<HTMLMetaElement>('meta[name="theme-color"]')) {
    const own = meta.media.includes("dark") ? "dark" : "light";
    meta.content = BARS[present.theme === "system" ? own : present.theme];
  }
  for (const listener of listeners) listener();
}

// Another tab has changed them.
addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  present = read();
  apply();
});

export function preferences(): Preferences {
  return present;
}

export function usePreferences(): Preferences {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, preferences);
}
