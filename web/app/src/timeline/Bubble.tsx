import type { Message } from "@tertulia/client";
import { loneEmoji } from "../composer/emoji";
import { reasonOf } from "../errors";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { Icon } from "../ui/Icon";
import { tintOf } from "../ui/people";
import { Ticks } from "../ui/Ticks";
import { useActions } from "./actions";
import { Body } from "./Body";
import { Quote } from "./Quote";
import type { Row } from "./rows";

export function Bubble({ row, showName }: { row: Row; showName: boolean }) {
  const { message, last } = row;
  const me = useMe();
  const { t } = useText();
  const isMine = message.senderId === me.id;
  const isDeleted = message.deletedAt !== null;
  const emoji = isDeleted || message.replyTo !== null ? 0 : loneEmoji(message.body);
  if (emoji > 0) {
    return (
      <div className={`flow-root px-1 ${emoji === 1 ? "text-[3.25rem]" : emoji <= 3 ? "text-[2.5rem]" : "text-[2rem]"} leading-[1.15]`}>
        {showName && <SenderName message={message} />}
        <bdi>{message.body.trim()}</bdi>
        <span className="ms-2 inline-flex rounded-full bg-raised px-2 py-0.5 align-bottom text-base shadow-low"><Meta message={message} /></span>
      </div>
    );
  }
  const corner = last ? (isMine ? "rounded-ee-md" : "rounded-es-md") : "";
  return (
    <div className={`flow-root max-w-full rounded-[1.25rem] border px-3.5 py-2 shadow-low ${corner} ${isMine ? "border-mine-line bg-mine" : "border-theirs-line bg-theirs"} ${message.isChanging ? "opacity-80" : ""}`}>
      {showName && <SenderName message={message} />}
      {message.replyTo !== null && !isDeleted && <Quote conversationId={message.conversationId} reply={message.replyTo} isMine={isMine} />}
      <div dir="auto" className="break-words whitespace-pre-wrap [overflow-wrap:anywhere] [unicode-bidi:isolate]">
        {isDeleted ? (
          <span className="inline-flex items-center gap-1.5 text-soft italic">
            <Icon name="trash" size={15} />
            {t(isMine ? "deletedByMe" : "deletedByOther")}
          </span>
        ) : (
          <Body text={message.body} />
        )}
        <span className="float-end ms-3 translate-y-1"><Meta message={message} /></span>
      </div>
    </div>
  );
}

function SenderName({ message }: { message: Message }) {
  return (
    <p className={`text-sm leading-snug font-semibold name-${tintOf(message.senderId)}`}>
      <span className="block truncate"><bdi>{message.senderName}</bdi></span>
    </p>
  );
}

function Meta({ message }: { message: Message }) {
  const { t, format } = useText();
  return (
    <span dir={document.documentElement.dir || "ltr"} className="inline-flex items-center gap-1 text-xs text-faint tabular-nums not-italic select-none">
      {message.editedAt !== null && message.deletedAt === null && <span>{t("edited")}</span>}
      <time
        dateTime={new Date(message.createdAt).toISOString()}
        // Only when somebody asks: a full date costs more than the rest of the row.
        onPointerEnter={(event) => (event.currentTarget.title = format.full(message.createdAt))}
      >{format.clock(message.createdAt)}</time>
      {message.status !== null && message.deletedAt === null && <Ticks status={message.status} />}
    </span>
  );
}

/** Who reacted with what; a press adds one's own or takes it back. */
export function Reactions({ message }: { message: Message }) {
  const me = useMe();
  const { t, format } = useText();
  const { react, nameOf, isLeft } = useActions();
  if (message.reactions.length === 0 || message.deletedAt !== null) return null;
  return (
    <ul aria-label={t("reactions")} className="relative z-[1] -mt-1.5 flex flex-wrap gap-1 px-1.5">
      {message.reactions.map(({ emoji, userIds }) => {
        const names = format.names(userIds.slice(0, 12).map((id) => (id === me.id ? t("you") : nameOf(id))));
        const who = t("reactionBy", { names });
        return (
          <li key={emoji}>
            <button
              type="button"
              tabIndex={-1}
              aria-pressed={userIds.includes(me.id)}
              title={`${emoji} ${who}`}
              disabled={message.id === null || isLeft}
              onClick={() => react(message, emoji)}
              className="flex h-7 items-center gap-1.5 rounded-full border border-line bg-raised px-2 text-sm shadow-low transition-colors hover:bg-hover aria-pressed:border-accent aria-pressed:bg-selected"
            >
              <span>{emoji}</span>
              {userIds.length > 1 && <span className="text-xs font-medium tabular-nums">{userIds.length}</span>}
              <span className="sr-only">{who}</span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}

/** It was refused for good: why, and the two ways on. */
export function Failure({ message }: { message: Message }) {
  const { t } = useText();
  const { retry, discard } = useActions();
  if (message.status?.state !== "failed") return null;
  const { entry, code } = message.status;
  return (
    <div className="mt-1 flex max-w-md flex-wrap items-center justify-end gap-x-1 px-1 text-end text-sm text-danger">
      <p className="min-w-0">{t("statusFailed")}. {code === "forbidden" || code === "not_found" ? t("cannotWriteHere") : reasonOf(code, t)}</p>
      <span className="whitespace-nowrap">
      <button type="button" className="min-h-8 rounded-lg px-2 font-semibold underline underline-offset-2 hover:bg-danger-soft" onClick={() => retry(entry)}>{t("retry")}</button>
      <button type="button" className="min-h-8 rounded-lg px-2 font-semibold underline underline-offset-2 hover:bg-danger-soft" onClick={() => discard(entry)}>{t("discard")}</button>
      </span>
    </div>
  );
}
