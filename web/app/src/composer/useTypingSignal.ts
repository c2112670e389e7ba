import { useTertulia } from "@tertulia/react";
import { useCallback, useEffect, useRef } from "react";

/** The others forget it after six seconds (see docs: typing); said again in time. */
const AGAIN_MS = 3000;

export function useTypingSignal(id: string): { typed(): void; stopped(): void } {
  const client = useTertulia();
  const said = useRef<number | null>(null);
  const typed = useCallback(() => {
    const now = performance.now();
    if (said.current !== null && now - said.current < AGAIN_MS) return;
    said.current = now;
    void client.setTyping(id, true).catch(() => {});
  }, [client, id]);
  const stopped = useCallback(() => {
    if (said.current === null) return;
    said.current = null;
    void client.setTyping(id, false).catch(() => {});
  }, [client, id]);
  useEffect(() => stopped, [stopped]);
  return { typed, stopped };
}
