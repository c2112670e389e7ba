import { memo, useRef, useState, type PointerEvent } from "react";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { Avatar } from "../ui/Avatar";
import { iconButton } from "../ui/button";
import { Icon } from "../ui/Icon";
import { can, useActions } from "./actions";
import { Bubble, Failure, Reactions } from "./Bubble";
import { useLabel } from "./label";
import type { Row } from "./rows";

const PRESS_MS = 450;
const PRESS_SLACK_PX = 10;

interface MessageRowProps {
  row: Row;
  isGroup: boolean;
  isTabStop: boolean;
  isFound: boolean;
  /** Nothing is above it in the whole conversation. */
  isBeginning: boolean;
  isEnd: boolean;
}

/** One message with what stands above it. The row itself takes the focus; arrows move between rows (see TimelineList). */
export const MessageRow = memo(function MessageRow({ row, isGroup, isTabStop, isFound, isBeginning, isEnd }: MessageRowProps) {
  const { message, first, last } = row;
  const me = useMe();
  const { t, format } = useText();
  const actions = useActions();
  const label = useLabel(message);
  const press = useLongPress((at) => actions.openMenu(message, at));
  const isMine = message.senderId === me.id;
  const face = isGroup && !isMine;
  const [isHovered, setIsHovered] = useState(false);
  return (
    <div className={`mx-auto w-full max-w-4xl px-3 [contain:layout_style] sm:px-5 ${isEnd ? "pb-3" : ""}`}>
      {isBeginning && <p className="pt-8 pb-3 text-center text-sm text-faint">{t("beginning")}</p>}
      {row.day !== null && (
        <div className="flex justify-center py-3" role="separator" aria-label={format.day(row.day, Date.now())}>
          <span aria-hidden="true" className="rounded-full bg-sunken px-3 py-1 text-xs font-medium text-soft">{format.day(row.day, Date.now())}</span>
        </div>
      )}
      {message.gapAbove && (
        <p className="animate-shimmer flex items-center justify-center gap-2 py-4 text-sm text-soft"><Icon name="clock" size={16} />{t("gap")}</p>
      )}
      {row.unread && (
        <div role="separator" aria-label={t("newMessages")} className="flex items-center gap-3 py-2.5 text-xs font-semibold text-accent before:h-px before:flex-1 before:bg-current before:opacity-40 after:h-px after:flex-1 after:bg-current after:opacity-40">
          <span aria-hidden="true">{t("newMessages")}</span>
        </div>
      )}
      <article
        data-key={row.key}
        data-message={message.id ?? undefined}
        aria-label={label}
        tabIndex={isTabStop ? 0 : -1}
        onContextMenu={(event) => {
          if ((event.target as Element).closest("a")) return;
          event.preventDefault();
          actions.openMenu(message, { x: event.clientX, y: event.clientY });
        }}
        {...press}
        onPointerEnter={(event) => event.pointerType === "mouse" && setIsHovered(true)}
        onPointerLeave={() => setIsHovered(false)}
        className={`relative flex items-end gap-2 rounded-2xl -outline-offset-1 ${first ? "pt-1.5" : "pt-0.5"} ${isMine ? "flex-row-reverse" : ""} ${isFound ? "animate-flash" : ""}`}
      >
        {face && <span className="w-8 shrink-0 pb-0.5">{last && <Avatar id={message.senderId} name={message.senderName} picture={message.senderAvatar} size="sm" />}</span>}
        <div className={`flex max-w-[min(82%,36rem)] min-w-0 flex-col pointer-coarse:select-none pointer-coarse:[-webkit-touch-callout:none] ${isMine ? "items-end" : "items-start"}`}>
          <Bubble row={row} showName={face && first} />
          <Reactions message={message} />
          <Failure message={message} />
        </div>
        {isHovered && <Toolbar row={row} />}
      </article>
    </div>
  );
});

/** For the pointer alone: the keyboard has the menu and its letters. */
function Toolbar({ row }: { row: Row }) {
  const { message } = row;
  const me = useMe();
  const { t } = useText();
  const actions = useActions();
  const may = can(message, me.id, actions.isLeft);
  const small = `${iconButton} size-8`;
  return (
    <div className="animate-fade flex shrink-0 items-center self-center">
      {may.react && <button type="button" tabIndex={-1} className={small} aria-label={t("react")} title={t("react")} onClick={() => actions.pickReaction(message)}><Icon name="smile" size={18} /></button>}
      {may.reply && <button type="button" tabIndex={-1} className={small} aria-label={t("reply")} title={t("reply")} onClick={() => actions.reply(message)}><Icon name="reply" size={18} /></button>}
      <button
        type="button"
        tabIndex={-1}
        className={small}
        aria-label={t("messageActions")}
        title={t("messageActions")}
        onClick={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          actions.openMenu(message, { x: box.left, y: box.bottom });
        }}
      >
        <Icon name="more" size={18} />
      </button>
    </div>
  );
}

/** iOS has no contextmenu event: a finger that stays where it is. */
function useLongPress(run: (at: { x: number; y: number }) => void) {
  const timer = useRef<{ id: number; x: number; y: number } | null>(null);
  const end = () => {
    if (timer.current !== null) clearTimeout(timer.current.id);
    timer.current = null;
  };
  return {
    onPointerDown(event: PointerEvent) {
      if (event.pointerType !== "touch" || (event.target as Element).closest("a, button")) return;
      const { clientX: x, clientY: y } = event;
      end();
      timer.current = { x, y, id: window.setTimeout(() => {
        timer.current = null;
        navigator.vibrate?.(10);
        // What opens comes up under the finger: lifting it is no tap on that.
        document.addEventListener("touchend", (lifted) => lifted.preventDefault(), { once: true, capture: true, passive: false });
        run({ x, y });
      }, PRESS_MS) };
    },
    onPointerMove(event: PointerEvent) {
      if (timer.current !== null && Math.hypot(event.clientX - timer.current.x, event.clientY - timer.current.y) > PRESS_SLACK_PX) end();
    },
    onPointerUp: end,
    onPointerCancel: end,
  };
}
