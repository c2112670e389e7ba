import type { Conversation } from "@tertulia/client";
import { useTyping } from "@tertulia/react";
import { memo } from "react";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { conversationRoute, navigate, pathOf } from "../shell/router";
import { Avatar, PresenceDot } from "../ui/Avatar";
import { Icon } from "../ui/Icon";
import { Ticks } from "../ui/Ticks";
import { faceOf, isMuted, previewOf, titleOf } from "./describe";

interface ConversationItemProps {
  conversation: Conversation;
  isSelected: boolean;
  now: number;
}

export const ConversationItem = memo(function ConversationItem({ conversation, isSelected, now }: ConversationItemProps) {
  const { t, format } = useText();
  const { id, unread, lastMessageAt } = conversation;
  const muted = isMuted(conversation, now);
  const title = titleOf(conversation);
  return (
    <a
      href={pathOf(conversationRoute(id))}
      data-result
      aria-current={isSelected ? "page" : undefined}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        navigate(conversationRoute(id));
      }}
      className="mx-2 flex min-h-18 items-center gap-3 rounded-2xl px-2.5 py-2 -outline-offset-2 transition-colors hover:bg-hover aria-[current]:bg-selected"
    >
      <span className="relative">
        <Avatar {...faceOf(conversation)} name={title} size="lg" />
        {conversation.peer !== null && <PresenceDot user={conversation.peer.id} ring={isSelected ? "ring-selected" : "ring-panel"} />}
      </span>
      <span className="min-w-0 flex-1">
        <span className="flex items-center gap-2">
          <span className={`min-w-0 flex-1 truncate ${unread > 0 ? "font-semibold" : "font-medium"}`}><bdi>{title}</bdi></span>
          {muted && <span role="img" aria-label={t("muted")} className="text-faint"><Icon name="mute" size={15} /></span>}
          {lastMessageAt !== null && (
            <time dateTime={new Date(lastMessageAt).toISOString()} className={`text-xs tabular-nums ${unread > 0 && !muted ? "font-semibold text-accent" : "text-faint"}`}>
              {format.short(lastMessageAt, now)}
            </time>
          )}
        </span>
        <span className="mt-0.5 flex items-center gap-2">
          <span className={`flex min-w-0 flex-1 items-center gap-1 text-sm ${unread > 0 ? "text-ink" : "text-soft"}`}>
            <Preview conversation={conversation} />
          </span>
          {conversation.hasParked && <span role="img" aria-label={t("parkedHere")} title={t("parkedHere")} className="text-danger"><Icon name="warning" size={17} /></span>}
          {unread > 0 && (
            <span className={`grid h-5 min-w-5 place-items-center rounded-full px-1.5 text-xs font-semibold tabular-nums ${muted ? "bg-line-strong text-ground" : "bg-fill text-on-accent"}`}>
              <span aria-hidden="true">{unread > 999 ? "999+" : unread}</span>
              <span className="sr-only">{t("unread", { count: unread })}</span>
            </span>
          )}
        </span>
      </span>
    </a>
  );
});

function Preview({ conversation }: { conversation: Conversation }) {
  const { t } = useText();
  const me = useMe();
  const typists = useTyping(conversation.id);
  const last = conversation.lastMessage;
  if (typists.length > 0) {
    return (
      <span className="truncate font-medium text-accent">
        {conversation.type === "group" && <><bdi>{typists[0]?.name}</bdi> </>}
        {t("typing")}
      </span>
    );
  }
  if (conversation.draft.trim() !== "") {
    return (
      <span className="truncate">
        <span className="text-danger">{t("draft")}</span> <bdi>{conversation.draft}</bdi>
      </span>
    );
  }
  if (last === null) return <span className="truncate text-faint italic">{t("emptyTimeline")}</span>;
  const { who, text } = previewOf(last, conversation, me.id, t);
  return (
    <>
      {last.status !== null && last.deletedAt === null && <Ticks status={last.status} />}
      <span className={`truncate ${last.deletedAt === null ? "" : "italic"}`}>
        {who !== null && <><bdi>{who}</bdi>: </>}
        <bdi>{text}</bdi>
      </span>
    </>
  );
}
