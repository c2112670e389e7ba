import type { NotifiedDevice, PushOffer } from "@tertulia/client";
import type { Ability } from "./platform";

/** How it stands with notifications here. */
export type Standing =
  /** The server has not said yet what it has. */
  | "unknown"
  /** The server notifies nobody's browsers. */
  | "unoffered"
  | "cannot"
  | "install"
  | "denied"
  | "off"
  | "on";

export interface Facts {
  ability: Ability;
  permission: NotificationPermission;
  /** `null`: the server knows of no notifications. */
  offer: PushOffer | null | undefined;
  /** What this browser is registered as. */
  device: NotifiedDevice | null;
}

export function standingOf({ ability, permission, offer, device }: Facts): Standing {
  if (offer === undefined) return "unknown";
  if (offer === null || offer.vapidPublicKey === null || !offer.providers.includes("webpush")) return "unoffered";
  if (ability !== "can") return ability;
  if (permission === "denied") return "denied";
  return permission === "granted" && device !== null ? "on" : "off";
}

/** After "Not now" nobody is asked for so long. */
export const PAUSE_MS = 30 * 24 * 3_600_000;

/** `isDue`: the person has just done something that makes it plain what notifications are for. */
export function isOffered(standing: Standing, isDue: boolean, isOff: boolean, askAgainAt: number, now: number): boolean {
  return isDue && !isOff && now >= askAgainAt && (standing === "off" || standing === "install");
}
