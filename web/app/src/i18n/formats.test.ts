import { expect, test } from "vitest";
import { formats } from "./formats";

const en = formats("en");
const es = formats("es");
const now = new Date(2026, 10, 21, 15, 4).getTime();
const at = (month: number, day: number, year = 2026) => new Date(year, month, day, 9, 5).getTime();

test("a_list_shows_the_clock_today_then_the_weekday_then_the_date", () => {
  expect(en.short(at(10, 21), now)).toMatch(/^9:05\sAM$/);
  expect(es.short(at(10, 21), now)).toBe("9:05");
  expect(en.short(at(10, 20), now)).toBe("Fri");
  expect(en.short(at(10, 14), now)).toBe("Nov 14");
  expect(en.short(at(10, 14, 2024), now)).toBe("11/14/24");
});

test("a_day_has_its_name_while_it_is_near", () => {
  expect(en.day(at(10, 21), now)).toBe("Today");
  expect(es.day(at(10, 20), now)).toBe("Ayer");
  expect(en.day(at(10, 19), now)).toBe("Thursday, November 19");
  expect(en.day(at(10, 19, 2025), now)).toBe("November 19, 2025");
});

test("days_are_counted_by_midnights_and_not_by_hours", () => {
  const late = new Date(2026, 10, 20, 23, 59).getTime();
  expect(en.day(late, new Date(2026, 10, 21, 0, 1).getTime())).toBe("Yesterday");
});

test("times_ago_and_sizes_are_short", () => {
  expect(en.ago(now - 5000, now)).toBe("this minute");
  expect(en.ago(now - 5 * 60_000, now)).toBe("5 minutes ago");
  expect(en.ago(now - 3 * 3_600_000, now)).toBe("3 hours ago");
  expect(en.bytes(4_812_345)).toBe("4.8 MB");
});
