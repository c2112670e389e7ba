import { expect, test } from "vitest";
import { abilityOf, wayBackIn } from "./platform";
import { isOffered, PAUSE_MS, standingOf, type Facts } from "./standing";

const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1";
const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Safari/605.1.15";
const CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";

test("on_apples_phones_only_what_is_installed_can_notify", () => {
  const phone = { userAgent: IPHONE, maxTouchPoints: 5, isStandalone: false, hasPush: false };
  expect(abilityOf(phone)).toBe("install");
  expect(abilityOf({ ...phone, isStandalone: true, hasPush: true })).toBe("can");
  expect(abilityOf({ ...phone, isStandalone: true })).toBe("cannot");
  expect(abilityOf({ ...phone, userAgent: MAC })).toBe("install");
  expect(abilityOf({ userAgent: MAC, maxTouchPoints: 0, isStandalone: false, hasPush: true })).toBe("can");
  expect(abilityOf({ userAgent: FIREFOX, maxTouchPoints: 0, isStandalone: false, hasPush: false })).toBe("cannot");
});

test("the_way_back_from_a_refusal_is_the_browsers_own", () => {
  const ways = [IPHONE, MAC, CHROME, FIREFOX, "something"].map((userAgent) => wayBackIn({ userAgent, maxTouchPoints: 0 }));
  expect(ways).toEqual(["applePhone", "safari", "chromium", "firefox", "other"]);
});

const facts: Facts = { ability: "can", permission: "default", offer: { providers: ["webpush"], vapidPublicKey: "B" }, device: null };

test("the_standing_follows_from_the_facts", () => {
  expect(standingOf(facts)).toBe("off");
  expect(standingOf({ ...facts, offer: undefined })).toBe("unknown");
  expect(standingOf({ ...facts, offer: null })).toBe("unoffered");
  expect(standingOf({ ...facts, offer: { providers: ["fcm"], vapidPublicKey: null } })).toBe("unoffered");
  expect(standingOf({ ...facts, ability: "install" })).toBe("install");
  expect(standingOf({ ...facts, permission: "denied" })).toBe("denied");
  expect(standingOf({ ...facts, permission: "granted" })).toBe("off");
  const device = { id: "r1" } as Facts["device"];
  expect(standingOf({ ...facts, permission: "granted", device })).toBe("on");
});

test("nobody_is_asked_before_it_is_plain_what_for_nor_soon_after_a_no", () => {
  const now = 1_000_000;
  expect(isOffered("off", true, false, 0, now)).toBe(true);
  expect(isOffered("install", true, false, 0, now)).toBe(true);
  expect(isOffered("off", false, false, 0, now)).toBe(false);
  expect(isOffered("off", true, true, 0, now)).toBe(false);
  expect(isOffered("off", true, false, now + PAUSE_MS, now + PAUSE_MS - 1)).toBe(false);
  expect(isOffered("off", true, false, now + PAUSE_MS, now + PAUSE_MS)).toBe(true);
  for (const standing of ["unknown", "unoffered", "cannot", "denied", "on"] as const) expect(isOffered(standing, true, false, 0, now)).toBe(false);
});
