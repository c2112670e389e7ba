import { useSyncExternalStore } from "react";
import { registerSW } from "virtual:pwa-register";

/** How often an open page asks whether there is a new version. */
const ASK_MS = 60 * 60_000;

let waiting = false;
let reload: (() => Promise<void>) | null = null;
const listeners = new Set<() => void>();

/** The service worker keeps the shell; a new version waits until the person says so, or all tabs are closed. */
export function watchForUpdates(): void {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  const update = registerSW({
    onNeedRefresh() {
      waiting = true;
      for (const listener of listeners) listener();
    },
    onRegisteredSW(_, registration) {
      if (registration === undefined) return;
      setInterval(() => void (navigator.onLine && registration.update().catch(() => {})), ASK_MS);
    },
  });
  reload = () => update(true);
}

export function useUpdate(): { waiting: boolean; reload(): void; later(): void } {
  const now = useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, () => waiting);
  return {
    waiting: now,
    reload: () => void reload?.(),
    later() {
      waiting = false;
      for (const listener of listeners) listener();
    },
  };
}
