import type { Ms } from "@tertulia/client";
import { daysBetween } from "../timeline/days";

export interface Formats {
  /** 14:05 */
  clock(at: Ms): string;
  /** Of a separator: Today, Yesterday, Monday 3 March. The first two come from the dictionary. */
  day(at: Ms, now: Ms): string;
  /** In a list: the clock today, a weekday this week, else the date. */
  short(at: Ms, now: Ms): string;
  /** In full, for a title. */
  full(at: Ms): string;
  /** "5 minutes ago". */
  ago(at: Ms, now: Ms): string;
  names(all: readonly string[]): string;
  bytes(count: number): string;
}

export function formats(language: string): Formats {
  const make = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(language, options);
  const clock = make({ hour: "numeric", minute: "2-digit" });
  const weekday = make({ weekday: "short" });
  const dayThisYear = make({ weekday: "long", day: "numeric", month: "long" });
  const dayOtherYear = make({ day: "numeric", month: "long", year: "numeric" });
  const dateThisYear = make({ day: "numeric", month: "short" });
  const dateOtherYear = make({ day: "2-digit", month: "2-digit", year: "2-digit" });
  const full = make({ dateStyle: "full", timeStyle: "short" });
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const list = new Intl.ListFormat(language, { type: "conjunction" });
  const sameYear = (a: Ms, b: Ms) => new Date(a).getFullYear() === new Date(b).getFullYear();
  const capital = (text: string) => text.charAt(0).toLocaleUpperCase(language) + text.slice(1);

  return {
    clock: (at) => clock.format(at),
    day(at, now) {
      const days = daysBetween(at, now);
      if (days === 0 || days === 1) return capital(relative.format(-days, "day"));
      return capital((sameYear(at, now) ? dayThisYear : dayOtherYear).format(at));
    },
    short(at, now) {
      const days = daysBetween(at, now);
      if (days <= 0) return clock.format(at);
      if (days < 7) return capital(weekday.format(at));
      return (sameYear(at, now) ? dateThisYear : dateOtherYear).format(at);
    },
    full: (at) => full.format(at),
    ago(at, now) {
      const seconds = Math.round((at - now) / 1000);
      if (seconds > -60) return relative.format(0, "minute");
      if (seconds > -3600) return relative.format(Math.trunc(seconds / 60), "minute");
      if (seconds > -86_400) return relative.format(Math.trunc(seconds / 3600), "hour");
      return relative.format(-daysBetween(at, now), "day");
    },
    names: (all) => list.format(all),
    bytes(count) {
      const [value, unit] = count < 1e6 ? [count / 1e3, "kilobyte"] : count < 1e9 ? [count / 1e6, "megabyte"] : [count / 1e9, "gigabyte"];
      return new Intl.NumberFormat(language, { style: "unit", unit, maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
    },
  };
}
