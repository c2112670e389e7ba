import type { Live } from "@tertulia/client";
import { useCallback, useSyncExternalStore } from "react";

const nothing = () => () => {};

/** The present value of something live; `undefined` until it is first known, and where there is nothing to look at. */
export function useLive<T>(live: Live<T> | null): T | undefined {
  const subscribe = useCallback((listener: () => void) => (live === null ? nothing() : live.subscribe(listener)), [live]);
  const get = useCallback(() => live?.get(), [live]);
  return useSyncExternalStore(subscribe, get, get);
}
