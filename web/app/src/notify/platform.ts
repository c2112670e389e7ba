/** Whether this browser can notify: `install`: once the app is on the home screen. */
export type Ability = "can" | "install" | "cannot";

export interface Browser {
  userAgent: string;
  maxTouchPoints: number;
  isStandalone: boolean;
  hasPush: boolean;
}

/** Safari on iPhones and iPads has web push for installed apps alone (since iOS 16.4); iPads call themselves Macintosh. */
export function isApplePhone({ userAgent, maxTouchPoints }: Pick<Browser, "userAgent" | "maxTouchPoints">): boolean {
  return /iPhone|iPad|iPod/u.test(userAgent) || (/Macintosh/u.test(userAgent) && maxTouchPoints > 1);
}

export function abilityOf(browser: Browser): Ability {
  if (isApplePhone(browser) && !browser.isStandalone) return "install";
  return browser.hasPush ? "can" : "cannot";
}

export function thisBrowser(): Browser {
  const isStandalone = matchMedia("(display-mode: standalone)").matches || (navigator as { standalone?: boolean }).standalone === true;
  const hasPush = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
  return { userAgent: navigator.userAgent, maxTouchPoints: navigator.maxTouchPoints, isStandalone, hasPush };
}

/** Where a refused permission is given back. */
export type WayBack = "applePhone" | "safari" | "firefox" | "chromium" | "other";

export function wayBackIn(browser: Pick<Browser, "userAgent" | "maxTouchPoints">): WayBack {
  const { userAgent } = browser;
  if (isApplePhone(browser)) return "applePhone";
  if (/Firefox\//u.test(userAgent)) return "firefox";
  if (/Chrome\//u.test(userAgent)) return "chromium";
  return /Safari\//u.test(userAgent) ? "safari" : "other";
}
