import type { Conversation } from "@tertulia/client";
import { useState } from "react";
import { excerpt } from "../conversations/describe";
import { SEARCH_MIN, useSearch } from "../conversations/useSearch";
import { moveFocus } from "../conversations/ConversationList";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { iconButton } from "../ui/button";
import { Icon } from "../ui/Icon";
import { useNow } from "../ui/useNow";

interface SearchInsideProps {
  conversation: Conversation;
  onClose(): void;
  onChoose(message: string): void;
}

export function SearchInside({ conversation, onClose, onChoose }: SearchInsideProps) {
  const { t, format } = useText();
  const me = useMe();
  const now = useNow();
  const [question, setQuestion] = useState("");
  const text = question.trim();
  const { messages, busy, isLocal } = useSearch(text, conversation.id);
  const [chosen, setChosen] = useState<string | null>(null);
  const note = text.length < SEARCH_MIN ? "" : busy && messages.length === 0 ? t("searching") : messages.length === 0 ? t("noResults", { text }) : t("searchInsideCount", { count: messages.length });
  return (
    <div
      role="search"
      aria-label={t("searchInside")}
      className="animate-fade border-b border-line bg-panel"
      onKeyDown={(event) => {
        if (event.key === "Escape") {
          event.stopPropagation();
          onClose();
        }
        moveFocus(event);
      }}
    >
      <div className="mx-auto flex max-w-4xl items-center gap-2 px-3 py-2 sm:px-5">
        <input
          type="search"
          dir="auto"
          autoFocus
          data-result
          value={question}
          onChange={(event) => setQuestion(event.target.value)}
          placeholder={t("searchInside")}
          aria-label={t("searchInside")}
          className="min-h-10 min-w-0 flex-1 rounded-xl bg-raised px-3.5 placeholder:text-faint [&::-webkit-search-cancel-button]:hidden"
        />
        <span role="status" className="max-w-40 truncate text-sm text-soft">{note}</span>
        <button type="button" className={iconButton} aria-label={t("close")} onClick={onClose}><Icon name="close" /></button>
      </div>
      {messages.length > 0 && (
        <ul className="mx-auto max-h-[40dvh] max-w-4xl overflow-y-auto px-1.5 pb-2 sm:px-3">
          {messages.map((message) => {
            const parts = excerpt(message.body, text);
            return (
              <li key={message.id}>
                <button
                  type="button"
                  data-result
                  aria-current={chosen === message.id ? true : undefined}
                  onClick={() => {
                    setChosen(message.id);
                    if (message.id !== null) onChoose(message.id);
                    if (matchMedia("(max-width: 47.99rem)").matches) onClose();
                  }}
                  className="flex w-full items-baseline gap-2 rounded-xl px-3 py-2 text-start -outline-offset-2 hover:bg-hover aria-[current]:bg-selected"
                >
                  <span className="max-w-32 shrink-0 truncate text-sm font-medium"><bdi>{message.senderId === me.id ? t("you") : message.senderName}</bdi></span>
                  <span className="min-w-0 flex-1 truncate text-sm text-soft"><bdi>
                    {parts === null ? message.body : <>{parts[0]}<mark className="rounded-sm bg-mark text-ink">{parts[1]}</mark>{parts[2]}</>}
                  </bdi></span>
                  <time dateTime={new Date(message.createdAt).toISOString()} className="text-xs text-faint tabular-nums">{format.short(message.createdAt, now)}</time>
                </button>
              </li>
            );
          })}
        </ul>
      )}
      {isLocal && <p className="mx-auto max-w-4xl px-5 pb-2 text-sm text-soft">{t("searchOffline")}</p>}
    </div>
  );
}
