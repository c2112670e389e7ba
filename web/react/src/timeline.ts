import type { ConversationId, Tertulia, Timeline, TimelineView } from "@tertulia/client";
import { useLayoutEffect, useState } from "react";
import { useTertulia } from "./context.js";
import { useLive } from "./live.js";

export interface TimelineState {
  /** `undefined` until the first page is here. */
  view: TimelineView | undefined;
  /** To load more and to jump; `null` before the first effect has run. */
  timeline: Timeline | null;
}

/** A timeline of one's own: opened when the component appears (before it is painted), closed when it goes. */
export function useTimeline(id: ConversationId): TimelineState {
  const client = useTertulia();
  const [open, setOpen] = useState<{ client: Tertulia; id: ConversationId; timeline: Timeline } | null>(null);
  useLayoutEffect(() => {
    const timeline = client.timeline(id);
    setOpen({ client, id, timeline });
    return () => timeline.close();
  }, [client, id]);
  // Between a change of `id` and the effect the state is that of another conversation.
  const timeline = open !== null && open.id === id && open.client === client ? open.timeline : null;
  return { view: useLive(timeline), timeline };
}
