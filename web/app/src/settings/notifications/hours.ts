import type { QuietHours } from "@tertulia/client";

function ownZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** The night, where the person is. */
export function defaultHours(): QuietHours {
  return { from: "22:00", to: "07:00", timeZone: ownZone() };
}

/** All that the browser knows, and the one that is chosen, which may be another's: names differ between versions of the database. */
export function timeZones(chosen: string): string[] {
  return [...new Set([...Intl.supportedValuesOf("timeZone"), "UTC", ownZone(), chosen])].sort();
}
