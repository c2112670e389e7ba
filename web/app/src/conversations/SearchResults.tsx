import type { Message } from "@tertulia/client";
import { useConversations, useTertulia } from "@tertulia/react";
import { useEffect, useMemo, useState, type ReactNode } from "react";
import type { User } from "@tertulia/client";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { conversationRoute, navigate, pathOf } from "../shell/router";
import { Avatar } from "../ui/Avatar";
import { Empty } from "../ui/Empty";
import { useAction } from "../ui/useAction";
import { useNow } from "../ui/useNow";
import { ConversationItem } from "./ConversationItem";
import { moveFocus } from "./ConversationList";
import { excerpt, faceOf, fits, titleOf } from "./describe";
import { useSearch } from "./useSearch";

/** People and groups by name, people of the server by e-mail, messages by what they say. */
export function SearchResults({ question, isAlone, onDone }: { question: string; isAlone: boolean; onDone(): void }) {
  const { t } = useText();
  const now = useNow();
  const all = useConversations();
  const { messages, busy, isLocal } = useSearch(question);
  const strangers = useStrangers(question);
  const conversations = useMemo(() => (all ?? []).filter((conversation) => fits(conversation, question)).slice(0, 30), [all, question]);
  const others = strangers.filter((user) => !conversations.some((conversation) => conversation.peer?.id === user.id));
  const isEmpty = conversations.length + others.length + messages.length === 0;
  return (
    <div className="min-h-0 flex-1 overflow-y-auto overscroll-contain" onKeyDown={moveFocus} aria-busy={busy}>
      <p role="status" className="sr-only">
        {busy ? t("searching") : isEmpty ? t("noResults", { text: question }) : t("searchInsideCount", { count: conversations.length + others.length + messages.length })}
      </p>
      {(conversations.length > 0 || others.length > 0) && (
        <Section title={t("people")} isAlone={isAlone}>
          {conversations.map((conversation) => (
            <li key={conversation.id}><ConversationItem conversation={conversation} isSelected={false} now={now} /></li>
          ))}
          {others.map((user) => <li key={user.id}><Stranger user={user} onDone={onDone} /></li>)}
        </Section>
      )}
      {messages.length > 0 && (
        <Section title={t("messages")} isAlone={isAlone}>
          {messages.map((message) => <li key={message.id}><FoundMessage message={message} question={question} now={now} /></li>)}
        </Section>
      )}
      {isEmpty && !busy && <Empty icon="search" title={t("noResults", { text: question })} text={t("noResultsText")} />}
      {busy && isEmpty && <p className="px-6 py-4 text-soft">{t("searching")}</p>}
      {isLocal && <p className="px-6 py-3 text-sm text-soft">{t("searchOffline")}</p>}
    </div>
  );
}

function Section({ title, isAlone, children }: { title: string; isAlone: boolean; children: ReactNode }) {
  const Title = isAlone ? "h2" : "h3";
  return (
    <section className="pb-2">
      <Title className="px-5 pt-2 pb-1 text-xs font-semibold tracking-wide text-faint uppercase">{title}</Title>
      <ul>{children}</ul>
    </section>
  );
}

/** Somebody by e-mail with whom there is no conversation yet. */
function useStrangers(question: string): readonly User[] {
  const client = useTertulia();
  const me = useMe();
  const [users, setUsers] = useState<readonly User[]>([]);
  useEffect(() => {
    setUsers([]);
    if (!/^\S{2,}@?\S*$/u.test(question) || question.length < 3) return;
    let over = false;
    const timer = setTimeout(() => {
      client.rest.searchUsers(question).then((found) => !over && setUsers(found.filter((user) => user.id !== me.id)), () => {});
    }, 250);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [client, question, me.id]);
  return users;
}

function Stranger({ user, onDone }: { user: User; onDone(): void }) {
  const client = useTertulia();
  const { run, busy } = useAction();
  return (
    <button
      type="button"
      data-result
      disabled={busy}
      onClick={() => void run(async () => {
        navigate(conversationRoute(await client.rest.openDm({ userId: user.id })));
        onDone();
      })}
      className="mx-2 flex min-h-14 w-[calc(100%-1rem)] items-center gap-3 rounded-2xl px-2.5 py-2 text-start -outline-offset-2 hover:bg-hover"
    >
      <Avatar id={user.id} name={user.name} picture={user.avatarUrl} size="md" />
      <span className="min-w-0">
        <span className="block truncate font-medium"><bdi>{user.name}</bdi></span>
        <span className="block truncate text-sm text-soft">{user.email}</span>
      </span>
    </button>
  );
}

function FoundMessage({ message, question, now }: { message: Message; question: string; now: number }) {
  const client = useTertulia();
  const { t, format } = useText();
  const me = useMe();
  const conversation = client.conversation(message.conversationId).get() ?? client.conversations.get()?.find((one) => one.id === message.conversationId);
  const title = conversation ? titleOf(conversation) : message.senderName;
  const route = conversationRoute(message.conversationId, message.id);
  const parts = excerpt(message.body, question);
  return (
    <a
      href={pathOf(route)}
      data-result
      onClick={(event) => {
        event.preventDefault();
        navigate(route);
      }}
      className="mx-2 flex items-start gap-3 rounded-2xl px-2.5 py-2 -outline-offset-2 hover:bg-hover"
    >
      {conversation && <Avatar {...faceOf(conversation)} name={title} size="md" />}
      <span className="min-w-0 flex-1">
        <span className="flex items-baseline gap-2">
          <span className="min-w-0 flex-1 truncate font-medium"><bdi>{title}</bdi></span>
          <time dateTime={new Date(message.createdAt).toISOString()} className="text-xs text-faint tabular-nums">{format.short(message.createdAt, now)}</time>
        </span>
        <span className="line-clamp-2 text-sm break-words text-soft">
          {message.senderId === me.id ? `${t("you")}: ` : conversation?.type === "group" ? <><bdi>{message.senderName}</bdi>: </> : null}
          <bdi>{parts === null ? message.body : <>{parts[0]}<mark className="rounded-sm bg-mark text-ink">{parts[1]}</mark>{parts[2]}</>}</bdi>
        </span>
      </span>
    </a>
  );
}
