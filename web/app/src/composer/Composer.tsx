import type { Conversation, Message } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { Popover } from "radix-ui";
import { lazy, Suspense, useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent } from "react";
import { explain } from "../errors";
import { useText } from "../i18n/useText";
import { offerIsDue } from "../notify/device";
import { toast } from "../shell/toasts";
import { refOf } from "../timeline/actions";
import { iconButton } from "../ui/button";
import { Icon } from "../ui/Icon";
import { useIsTouch } from "../ui/useMedia";
import { ModeLine } from "./ModeLine";
import type { Mode } from "./mode";
import { useDraft } from "./useDraft";
import { useLimits } from "./useLimits";
import { useTypingSignal } from "./useTypingSignal";

const EmojiPicker = lazy(() => import("./EmojiPicker"));

/** From here on the count is shown. */
const NEAR_LIMIT = 0.9;

interface ComposerProps {
  conversation: Conversation;
  mode: Mode;
  onMode(mode: Mode): void;
  lastOfMine(): Message | null | undefined;
}

export function Composer({ conversation, mode, onMode, lastOfMine }: ComposerProps) {
  const client = useTertulia();
  const { t } = useText();
  const isTouch = useIsTouch();
  const field = useRef<HTMLTextAreaElement>(null);
  const { text, set: setText, sent } = useDraft(conversation, mode);
  const { typed, stopped } = useTypingSignal(conversation.id);
  const [isPicking, setIsPicking] = useState(false);
  const limits = useLimits();
  const bytes = new TextEncoder().encode(text).length;
  const excess = limits === null ? 0 : bytes - limits.bodyMaxBytes;
  const canSend = text.trim() !== "" && excess <= 0;

  // As high as what is written, up to the limit in the style.
  useLayoutEffect(() => {
    const element = field.current;
    if (element === null) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }, [text]);

  useEffect(() => {
    if (!isTouch) field.current?.focus({ preventScroll: true });
  }, [isTouch]);

  function submit() {
    if (!canSend) return;
    const body = text.trim();
    const done =
      mode?.kind === "edit"
        ? body === mode.message.body
          ? Promise.resolve()
          : client.edit(conversation.id, refOf(mode.message), body)
        : client.send(conversation.id, body, mode === null ? {} : { replyTo: refOf(mode.message) });
    if (mode?.kind !== "edit") offerIsDue();
    sent();
    stopped();
    onMode(null);
    done.catch((error: unknown) => {
      setText(body);
      onMode(mode);
      toast(explain(error, t), "problem");
    });
  }

  function onKeyDown(event: KeyboardEvent<HTMLTextAreaElement>) {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !isTouch) {
      event.preventDefault();
      submit();
    } else if (event.key === "Escape" && mode !== null) {
      event.preventDefault();
      onMode(null);
    } else if (event.key === "ArrowUp" && text === "" && mode === null) {
      const last = lastOfMine();
      if (!last) return;
      event.preventDefault();
      onMode({ kind: "edit", message: last });
    }
  }

  function insert(emoji: string) {
    const element = field.current;
    const [from, to] = [element?.selectionStart ?? text.length, element?.selectionEnd ?? text.length];
    setText(text.slice(0, from) + emoji + text.slice(to));
    typed();
    requestAnimationFrame(() => element?.setSelectionRange(from + emoji.length, from + emoji.length));
  }

  if (conversation.isLeft) {
    return <p className="border-t border-line px-6 py-4 text-center text-soft">{t("leftTheGroup")}</p>;
  }
  return (
    <div className="mx-auto w-full max-w-4xl px-2 pb-[max(0.75rem,env(safe-area-inset-bottom))] sm:px-4">
      <div className="rounded-3xl border border-line bg-raised shadow-low transition-colors focus-within:border-line-strong">
        {mode !== null && <ModeLine mode={mode} onCancel={() => onMode(null)} />}
        <div className="flex items-end gap-1 p-1.5">
          <Popover.Root open={isPicking} onOpenChange={setIsPicking}>
            <Popover.Trigger asChild>
              <button type="button" className={iconButton} aria-label={t("emoji")} title={t("emoji")}><Icon name="smile" size={22} /></button>
            </Popover.Trigger>
            <Popover.Portal>
              <Popover.Content
                side="top"
                align="start"
                sideOffset={12}
                collisionPadding={8}
                aria-label={t("emoji")}
                onCloseAutoFocus={(event) => {
                  event.preventDefault();
                  if (!isTouch) field.current?.focus();
                }}
                className="animate-rise z-50 w-[min(22rem,calc(100vw-1rem))] rounded-3xl border border-line bg-raised p-3 shadow-high"
              >
                <Suspense fallback={<div className="h-80" aria-busy="true" />}>
                  <EmojiPicker onPick={insert} />
                </Suspense>
              </Popover.Content>
            </Popover.Portal>
          </Popover.Root>
          <textarea
            id="composer"
            ref={field}
            dir="auto"
            rows={1}
            value={text}
            enterKeyHint={isTouch ? "enter" : "send"}
            onChange={(event) => {
              setText(event.target.value);
              if (event.target.value.trim() === "") stopped();
              else typed();
            }}
            onBlur={stopped}
            onKeyDown={onKeyDown}
            placeholder={t("writeMessage")}
            aria-label={t("writeMessage")}
            aria-describedby="composer-note"
            aria-invalid={excess > 0 ? true : undefined}
            className="max-h-[min(12rem,40dvh)] min-h-10 flex-1 resize-none overflow-y-auto bg-transparent px-1 py-2 text-base outline-none md:text-[0.9375rem]"
          />
          <button
            type="button"
            disabled={!canSend}
            onClick={submit}
            onPointerDown={(event) => event.preventDefault()}
            aria-label={mode?.kind === "edit" ? t("save") : t("send")}
            title={mode?.kind === "edit" ? t("save") : t("send")}
            className="grid size-10 shrink-0 place-items-center rounded-full bg-fill text-on-accent transition-colors hover:bg-fill-hover disabled:bg-transparent disabled:text-faint"
          >
            <Icon name={mode?.kind === "edit" ? "check" : "send"} />
          </button>
        </div>
      </div>
      <p id="composer-note" role={excess > 0 ? "alert" : undefined} className={excess > 0 ? "px-4 pt-1.5 text-sm text-danger" : "sr-only"}>
        {excess > 0 ? t("tooLong", { count: excess }) : limits !== null && bytes > limits.bodyMaxBytes * NEAR_LIMIT ? `${bytes} / ${limits.bodyMaxBytes}` : t("composerHint")}
      </p>
    </div>
  );
}
