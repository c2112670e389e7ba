import type { Conversation, Timeline, TimelineView } from "@tertulia/client";
import { useLayoutEffect, useMemo, useRef, useState } from "react";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { Icon } from "../ui/Icon";
import { MessageRow } from "./MessageRow";
import { noWindow, rowsOf, windowOf, type Row } from "./rows";
import { useLoading } from "./useLoading";
import { useMarkRead } from "./useMarkRead";
import { useRowKeys } from "./useRowKeys";
import { useSeekUnread } from "./useSeekUnread";
import { useUnreadMarker } from "./useUnreadMarker";

/** Nearer to the end than this is at the end: what arrives is followed. */
const END_SLACK_PX = 24;

/** A message that is to be shown; another object is another wish. */
export interface Target {
  id: string;
}

interface TimelineListProps {
  conversation: Conversation;
  view: TimelineView;
  timeline: Timeline;
  target: Target | null;
  onTargetShown(): void;
  onNewest(): void;
}

export function TimelineList({ conversation, view, timeline, target, onTargetShown, onNewest }: TimelineListProps) {
  const { t } = useText();
  const me = useMe();
  const scroller = useRef<HTMLDivElement>(null);
  const handle = useRef<VirtualizerHandle>(null);
  const { unreadAfter, clear } = useUnreadMarker(conversation);
  const rows = useRows(view, me.id, unreadAfter);
  const window = useWindow(rows);
  const atEnd = useRef(true);
  const seen = useRef({ offset: 0, size: 0 });
  const [isAway, setIsAway] = useState(false);
  const [found, setFound] = useState<number | null>(null);
  const markRead = useMarkRead(conversation, rows, handle);
  const loading = useLoading(view, timeline, handle);
  const keys = useRowKeys(rows, handle, scroller);
  const unread = useSeekUnread(rows, unreadAfter, view, timeline, handle, atEnd);
  const newest = rows.at(-1);

  function toEnd() {
    atEnd.current = true;
    // Not virtua's scrollToIndex: it goes on for a while, and would take back what somebody scrolls meanwhile.
    if (scroller.current !== null) scroller.current.scrollTop = scroller.current.scrollHeight;
  }

  function look() {
    const list = handle.current;
    if (list === null) return;
    const { scrollOffset: offset, scrollSize: size } = list;
    const below = size - offset - list.viewportSize;
    // Up without a change in size was somebody's will; anything else that brings distance was rows turning out higher.
    const isUp = offset < seen.current.offset && size === seen.current.size;
    seen.current = { offset, size };
    if (view.hasNewer || (isUp && below > 1)) atEnd.current = false;
    else if (below < END_SLACK_PX) atEnd.current = true;
    setIsAway(view.hasNewer || below > list.viewportSize / 2);
    markRead();
    loading.look();
  }

  // Another page: begin at what is new in it, or at its end. What somebody is taken to says itself where to begin.
  useLayoutEffect(() => {
    if (rows.length === 0 || target !== null || unread.isSeeking) return;
    const marker = rows.findIndex((row) => row.unread);
    if (marker > 0 && window.generation === 1) {
      atEnd.current = false;
      handle.current?.scrollToIndex(marker, { align: "start", offset: -24 });
    } else toEnd();
    requestAnimationFrame(look);
  }, [window.generation]);

  // The end moves when rows turn out higher or lower than they were taken for, or the field below grows: stay with it before it is painted.
  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => atEnd.current && toEnd());
    for (const element of [scroller.current, scroller.current?.querySelector("ol")]) if (element != null) observer.observe(element);
    return () => observer.disconnect();
  }, [window.generation]);

  // One more at the end: follow it where one was there, or wrote it oneself.
  useLayoutEffect(() => {
    if (newest === undefined || view.hasNewer || target !== null) return;
    const isMineNow = newest.message.status?.state === "pending";
    if (isMineNow) clear();
    if (atEnd.current || isMineNow) toEnd();
    markRead();
  }, [newest?.key]);

  useLayoutEffect(() => {
    if (target === null) return;
    const at = rows.findIndex((row) => row.message.id === target.id);
    const row = rows[at];
    if (row === undefined) return;
    atEnd.current = false;
    handle.current?.scrollToIndex(at, { align: "center" });
    setFound(row.key);
    keys.setActive(row.key);
    onTargetShown();
  }, [target, rows]);

  const activeAt = rows.findIndex((row) => row.key === keys.active);
  return (
    <div className="relative min-h-0 flex-1">
      <div
        ref={scroller}
        role="group"
        aria-label={t("timeline")}
        aria-description={t("messageKeys")}
        onKeyDown={keys.onKeyDown}
        onFocus={keys.onFocus}
        className="flex h-full flex-col overflow-y-auto overscroll-contain [overflow-anchor:none]"
      >
        <div className="grow" />
        {loading.problem && <p role="status" className="px-6 py-3 text-center text-sm text-soft">{t("olderUnavailable")}</p>}
        <Virtualizer
          key={window.generation}
          ref={handle}
          as="ol"
          item="li"
          data={rows}
          shift={window.shift}
          scrollRef={scroller}
          bufferSize={400}
          keepMounted={activeAt >= 0 ? [activeAt] : undefined}
          onScroll={look}
          onResize={() => (atEnd.current ? afterDrawing(() => atEnd.current && toEnd()) : look())}
        >
          {(row: Row, at: number) => (
            <MessageRow
              key={row.key}
              row={row}
              isGroup={conversation.type === "group"}
              isTabStop={row.key === keys.active || (activeAt < 0 && at === rows.length - 1)}
              isFound={row.key === found}
              isBeginning={at === 0 && !view.hasOlder}
              isEnd={at === rows.length - 1}
            />
          )}
        </Virtualizer>
      </div>
      {unread.isAbove && (
        <button
          type="button"
          onClick={unread.seek}
          className="animate-rise absolute inset-x-0 top-3 mx-auto flex min-h-9 w-fit items-center gap-2 rounded-full bg-fill px-4 text-sm font-medium text-on-accent shadow-high hover:bg-fill-hover"
        >
          <Icon name="up" size={16} />
          {t("toUnread")}
        </button>
      )}
      {isAway && <ToNewest unread={conversation.unread} onPress={() => (view.hasNewer ? onNewest() : toEnd())} />}
    </div>
  );
}

/** Once what changes now is in the document, and still before it is painted. */
function afterDrawing(run: () => void): void {
  queueMicrotask(() => queueMicrotask(run));
}

function ToNewest({ unread, onPress }: { unread: number; onPress(): void }) {
  const { t } = useText();
  const label = unread > 0 ? t("newBelow", { count: unread }) : t("jumpToNewest");
  return (
    <button
      type="button"
      onClick={onPress}
      aria-label={label}
      title={label}
      className="animate-rise absolute end-4 bottom-4 grid size-11 place-items-center rounded-full border border-line bg-raised text-soft shadow-high hover:bg-hover hover:text-ink"
    >
      <Icon name="down" />
      {unread > 0 && <span aria-hidden="true" className="absolute -top-1.5 grid h-5 min-w-5 place-items-center rounded-full bg-fill px-1.5 text-xs font-semibold text-on-accent tabular-nums">{unread > 99 ? "99+" : unread}</span>}
    </button>
  );
}

function useRows(view: TimelineView, me: string, unreadAfter: number | null): readonly Row[] {
  const before = useRef<readonly Row[]>([]);
  const rows = useMemo(() => rowsOf(view.messages, me, unreadAfter, before.current), [view.messages, me, unreadAfter]);
  useLayoutEffect(() => {
    before.current = rows;
  }, [rows]);
  return rows;
}

function useWindow(rows: readonly Row[]) {
  const [window, setWindow] = useState(() => windowOf(rows, noWindow));
  const next = windowOf(rows, window);
  if (next !== window) setWindow(next);
  return next;
}
