import { Dialog as Radix } from "radix-ui";
import { useRef, type ReactNode } from "react";
import { useText } from "../i18n/useText";
import { button, iconButton } from "./button";
import { Icon } from "./Icon";

interface DialogProps {
  open: boolean;
  onClose(): void;
  title: string;
  text?: string;
  children?: ReactNode;
  /** Comes from below on a phone. */
  wide?: boolean;
}

/**
 * Our own ground in place of Radix' overlay: that one locks scrolling by a style element it writes into the page, which the
 * Content-Security-Policy forbids, and the page does not scroll anyway.
 */
export function Dialog({ open, onClose, title, text, children, wide = false }: DialogProps) {
  const { t } = useText();
  const content = useRef<HTMLDivElement>(null);
  return (
    <Radix.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Radix.Portal>
        <div className="animate-fade fixed inset-0 z-40 bg-black/45 backdrop-blur-[2px]" aria-hidden="true" />
        <Radix.Content
          ref={content}
          {...(text === undefined ? { "aria-describedby": undefined } : {})}
          onOpenAutoFocus={(event) => {
            const wanted = content.current?.querySelector<HTMLElement>("[data-autofocus]");
            if (wanted === null || wanted === undefined) return;
            event.preventDefault();
            wanted.focus();
          }}
          className={`max-md:animate-sheet md:animate-rise fixed z-50 flex max-h-[88dvh] flex-col overflow-hidden bg-raised shadow-high max-md:inset-x-0 max-md:bottom-0 max-md:rounded-t-3xl max-md:pb-[env(safe-area-inset-bottom)] md:inset-0 md:m-auto md:h-fit md:w-[calc(100vw-2rem)] md:rounded-3xl ${wide ? "md:max-w-lg" : "md:max-w-md"}`}
        >
          <header className="flex items-start gap-3 px-6 pt-5">
            <div className="min-w-0 flex-1 pt-1.5">
              <Radix.Title className="text-lg leading-tight font-semibold break-words">{title}</Radix.Title>
            </div>
            <Radix.Close className={`${iconButton} -me-2`} aria-label={t("close")}>
              <Icon name="close" />
            </Radix.Close>
          </header>
          <div className="min-h-0 overflow-y-auto px-6 pt-1 pb-6">
            {text !== undefined && <Radix.Description className="mb-4 text-soft">{text}</Radix.Description>}
            {children}
          </div>
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

interface ConfirmProps {
  open: boolean;
  onClose(): void;
  onConfirm(): void;
  title: string;
  text: string;
  action: string;
  busy?: boolean;
  children?: ReactNode;
}

export function Confirm({ open, onClose, onConfirm, title, text, action, busy = false, children }: ConfirmProps) {
  const { t } = useText();
  return (
    <Dialog open={open} onClose={onClose} title={title} text={text}>
      {children}
      <div className="mt-2 flex flex-wrap justify-end gap-2">
        <button type="button" className={button("secondary")} onClick={onClose}>
          {t("cancel")}
        </button>
        <button type="button" data-autofocus className={button("danger")} disabled={busy} onClick={onConfirm}>
          {action}
        </button>
      </div>
    </Dialog>
  );
}
