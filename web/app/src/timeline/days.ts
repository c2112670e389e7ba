import type { Ms } from "@tertulia/client";

/** A number per calendar day where the person is; neighbours differ by one. */
export function dayOf(at: Ms): number {
  const date = new Date(at);
  return Math.round(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / 86_400_000);
}

/** Midnights from `at` to `now`: 0 today, 1 yesterday. */
export function daysBetween(at: Ms, now: Ms): number {
  return dayOf(now) - dayOf(at);
}
