import type { Timeline, TimelineView } from "@tertulia/client";
import { useConnection } from "@tertulia/react";
import { useCallback, useEffect, useRef, useState, type RefObject } from "react";
import type { VirtualizerHandle } from "virtua";

/** This near to an end the next page is asked for. */
const AHEAD_PX = 900;

/** Asks for older and newer pages before they are needed; one at a time. After a failure, again when the connection is back. */
export function useLoading(view: TimelineView, timeline: Timeline, handle: RefObject<VirtualizerHandle | null>) {
  const [problem, setProblem] = useState(false);
  const busy = useRef(false);
  const failed = useRef(false);
  const isConnected = useConnection()?.state === "connected";

  const look = useCallback(() => {
    const list = handle.current;
    // Nothing is here yet of the place that was jumped to: it is on its way.
    if (list === null || view.messages.length === 0 || busy.current || failed.current) return;
    const below = list.scrollSize - list.scrollOffset - list.viewportSize;
    const load = view.hasOlder && list.scrollOffset < AHEAD_PX ? () => timeline.loadOlder() : view.hasNewer && below < AHEAD_PX ? () => timeline.loadNewer() : null;
    if (load === null) return;
    busy.current = true;
    load().then(
      () => setProblem(false),
      () => {
        failed.current = true;
        setProblem(true);
      },
    ).finally(() => {
      busy.current = false;
    });
  }, [view, timeline, handle]);

  useEffect(() => {
    failed.current = false;
  }, [isConnected]);
  // A page may be shorter than the screen, or the next one needed at once.
  useEffect(() => {
    const frame = requestAnimationFrame(look);
    return () => cancelAnimationFrame(frame);
  }, [look, isConnected]);
  return { look, problem };
}
