import type { Conversation } from "@tertulia/client";
import { usePresence } from "@tertulia/react";
import { faceOf, titleOf } from "../conversations/describe";
import { useText } from "../i18n/useText";
import { goBack } from "../shell/router";
import { Avatar, PresenceDot } from "../ui/Avatar";
import { iconButton } from "../ui/button";
import { Icon } from "../ui/Icon";
import { useNow } from "../ui/useNow";

interface HeaderProps {
  conversation: Conversation;
  isInfoOpen: boolean;
  isSearching: boolean;
  onInfo(): void;
  onSearch(): void;
}

export function Header({ conversation, isInfoOpen, isSearching, onInfo, onSearch }: HeaderProps) {
  const { t } = useText();
  const title = titleOf(conversation);
  const peer = conversation.peer;
  return (
    <header className="flex h-16 shrink-0 items-center gap-1 border-b border-line bg-ground px-2 sm:px-3">
      <button type="button" className={`${iconButton} md:hidden`} aria-label={t("back")} onClick={() => goBack({ at: "home" })}>
        <Icon name="back" size={22} />
      </button>
      <h1 className="min-w-0 flex-1">
        <button type="button" onClick={onInfo} aria-expanded={isInfoOpen} className="flex max-w-full min-w-0 items-center gap-3 rounded-xl px-2 py-1 text-start -outline-offset-2 transition-colors hover:bg-hover">
          <span className="relative">
            <Avatar {...faceOf(conversation)} name={title} />
            {peer !== null && <PresenceDot user={peer.id} ring="ring-ground" />}
          </span>
          <span className="min-w-0">
            <span className="block truncate leading-tight font-semibold"><bdi>{title}</bdi></span>
            <span className="block truncate text-sm leading-tight font-normal text-soft empty:hidden">
              {peer !== null ? <Presence user={peer.id} /> : t("membersCount", { count: conversation.memberCount })}
            </span>
          </span>
        </button>
      </h1>
      <button type="button" className={iconButton} aria-label={t("searchInside")} title={t("searchInside")} aria-pressed={isSearching} onClick={onSearch}>
        <Icon name="search" />
      </button>
      <button type="button" className={iconButton} aria-label={t("info")} title={t("info")} aria-pressed={isInfoOpen} onClick={onInfo}>
        <Icon name="info" />
      </button>
    </header>
  );
}

export function Presence({ user }: { user: string }) {
  const presence = usePresence(user);
  const { t, format } = useText();
  const now = useNow();
  if (presence === null || presence === undefined) return null;
  if (presence.online) return t("online");
  return presence.lastSeenAt === null ? t("offline") : t("lastSeen", { when: format.ago(presence.lastSeenAt, now) });
}
