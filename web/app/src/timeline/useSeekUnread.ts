import type { Timeline, TimelineView } from "@tertulia/client";
import { useEffect, useState, type RefObject } from "react";
import type { VirtualizerHandle } from "virtua";
import type { Row } from "./rows";

interface Seek {
  /** Reading stopped above what is loaded. */
  isAbove: boolean;
  isSeeking: boolean;
  seek(): void;
}

/** Shows, when asked, the place where reading stopped, wherever that is. */
export function useSeekUnread(rows: readonly Row[], unreadAfter: number | null, view: TimelineView, timeline: Timeline, handle: RefObject<VirtualizerHandle | null>, atEnd: RefObject<boolean>): Seek {
  const [isSeeking, setIsSeeking] = useState(false);
  const first = rows[0]?.message;
  const isAbove = unreadAfter !== null && unreadAfter > 0 && view.hasOlder && first?.seq != null && first.seq > unreadAfter + 1;
  useEffect(() => {
    if (!isSeeking || isAbove || unreadAfter === null) return;
    const marker = rows.findIndex((row) => row.unread);
    // Those that came there since may all be one's own.
    const at = marker >= 0 ? marker : rows.findIndex((row) => (row.message.seq ?? 0) > unreadAfter);
    // What is not on this device has to come first.
    if (at < 0 || rows[at]?.message.gapAbove) return;
    setIsSeeking(false);
    atEnd.current = false;
    handle.current?.scrollToIndex(at, { align: "start", offset: -24 });
  }, [isSeeking, isAbove, unreadAfter, rows, handle, atEnd]);
  function seek() {
    if (unreadAfter === null) return;
    setIsSeeking(true);
    timeline.jumpToPlace(unreadAfter + 1).catch(() => setIsSeeking(false));
  }
  return { isAbove, isSeeking, seek };
}
