import { useConversations } from "@tertulia/react";
import { useMemo, useRef, type KeyboardEvent } from "react";
import { Virtualizer } from "virtua";
import { useText } from "../i18n/useText";
import { SkeletonList } from "../shell/Skeleton";
import { button } from "../ui/button";
import { Empty } from "../ui/Empty";
import { useNow } from "../ui/useNow";
import { ConversationItem } from "./ConversationItem";

interface ConversationListProps {
  selected: string | null;
  onNewDm(): void;
  onNewGroup(): void;
}

export function ConversationList({ selected, onNewDm, onNewGroup }: ConversationListProps) {
  const all = useConversations();
  const { t } = useText();
  const now = useNow();
  const scroller = useRef<HTMLDivElement>(null);
  const shown = useMemo(() => all?.filter((conversation) => !conversation.isHidden), [all]);
  if (shown === undefined) return <div className="animate-shimmer px-4" aria-busy="true"><SkeletonList /></div>;
  if (shown.length === 0) {
    return (
      <Empty icon="compose" title={t("noConversations")} text={t("noConversationsText")}>
        <button type="button" className={button("primary")} onClick={onNewDm}>{t("newDm")}</button>
        <button type="button" className={button("secondary")} onClick={onNewGroup}>{t("newGroup")}</button>
      </Empty>
    );
  }
  return (
    <div ref={scroller} className="min-h-0 flex-1 overflow-y-auto overscroll-contain pb-[env(safe-area-inset-bottom)]" onKeyDown={moveFocus}>
      <Virtualizer as="ul" item="li" data={shown} itemSize={72} scrollRef={scroller}>
        {(conversation) => <ConversationItem key={conversation.id} conversation={conversation} isSelected={conversation.id === selected} now={now} />}
      </Virtualizer>
    </div>
  );
}

/** Up and down from one result to the next, besides Tab. */
export function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (step === 0 || event.altKey) return;
  const all = [...event.currentTarget.querySelectorAll<HTMLElement>("[data-result]")];
  const at = all.indexOf(document.activeElement as HTMLElement);
  const next = all[at + step];
  if (at < 0 || next === undefined) return;
  event.preventDefault();
  next.focus();
}
