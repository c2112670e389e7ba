import type { Message } from "@tertulia/client";
import { DropdownMenu } from "radix-ui";
import type { ReactNode } from "react";
import { quickReactions } from "../composer/emoji";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { Dialog } from "../ui/Dialog";
import { Icon, type IconName } from "../ui/Icon";
import { MenuItem, MenuLine, menuBox } from "../ui/Menu";
import { useIsTouch } from "../ui/useMedia";
import { can, useActions } from "./actions";

export interface MenuFor {
  message: Message;
  x: number;
  y: number;
}

/** One menu for all messages: at the pointer or the row, or on a touch screen from below. */
export function MessageMenu({ menu, onClose }: { menu: MenuFor | null; onClose(): void }) {
  const isTouch = useIsTouch();
  if (isTouch) return menu === null ? null : <Sheet menu={menu} onClose={onClose} />;
  return <Floating menu={menu} onClose={onClose} />;
}

interface Item {
  icon: IconName;
  label: string;
  danger?: boolean;
  run(): void;
}

function useItems(message: Message): { items: Item[]; mayReact: boolean } {
  const { t } = useText();
  const me = useMe();
  const actions = useActions();
  const may = can(message, me.id, actions.isLeft);
  const status = message.status;
  const items: (Item | false)[] = [
    status?.state === "failed" && { icon: "up", label: t("retry"), run: () => actions.retry(status.entry) },
    status?.state === "failed" && { icon: "close", label: t("discard"), run: () => actions.discard(status.entry) },
    may.reply && { icon: "reply", label: t("reply"), run: () => actions.reply(message) },
    may.edit && { icon: "edit", label: t("edit"), run: () => actions.edit(message) },
    may.copy && { icon: "copy", label: t("copy"), run: () => actions.copy(message) },
    may.seenBy && { icon: "eye", label: t("seenBy"), run: () => actions.seenBy(message) },
    may.delete && { icon: "trash", label: t("delete"), danger: true, run: () => actions.askDelete(message) },
  ];
  return { items: items.filter((item) => item !== false), mayReact: may.react };
}

/** Always there, so that it knows whether the last thing pressed was a key: then the first item takes the focus. */
function Floating({ menu, onClose }: { menu: MenuFor | null; onClose(): void }) {
  const { t } = useText();
  return (
    <DropdownMenu.Root open={menu !== null} modal={false} onOpenChange={(open) => !open && onClose()}>
      <DropdownMenu.Trigger asChild>
        <button type="button" tabIndex={-1} aria-hidden="true" aria-label={t("messageActions")} className="pointer-events-none fixed size-0 opacity-0" style={{ left: menu?.x ?? 0, top: menu?.y ?? 0 }} />
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal container={document.getElementById("main")}>
        {menu !== null && <Items message={menu.message} />}
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

function Items({ message }: { message: Message }) {
  const { t } = useText();
  const actions = useActions();
  const { items, mayReact } = useItems(message);
  return (
    <DropdownMenu.Content
      className={menuBox}
      aria-label={t("messageActions")}
      align="start"
      sideOffset={4}
      collisionPadding={12}
      loop
      onCloseAutoFocus={(event) => {
        event.preventDefault();
        // Unless what was chosen has taken the focus meanwhile, it goes back to the row.
        if (document.activeElement === document.body) document.querySelector<HTMLElement>(`[data-key="${message.key}"]`)?.focus({ preventScroll: true });
      }}
    >
      {mayReact && (
        <>
          <DropdownMenu.Group aria-label={t("react")} className="flex gap-0.5 pb-1">
            {quickReactions.map((emoji) => (
              <DropdownMenu.Item key={emoji} aria-label={t("reactWith", { emoji })} onSelect={() => actions.react(message, emoji)} className="grid size-10 cursor-default place-items-center rounded-full text-xl outline-none data-highlighted:bg-hover">
                {emoji}
              </DropdownMenu.Item>
            ))}
            <DropdownMenu.Item aria-label={t("moreReactions")} onSelect={() => actions.pickReaction(message)} className="grid size-10 cursor-default place-items-center rounded-full text-soft outline-none data-highlighted:bg-hover">
              <Icon name="plus" />
            </DropdownMenu.Item>
          </DropdownMenu.Group>
          <MenuLine />
        </>
      )}
      {items.map(({ icon, label, danger, run }) => (
        <MenuItem key={label} icon={icon} danger={danger ?? false} onSelect={run}>{label}</MenuItem>
      ))}
    </DropdownMenu.Content>
  );
}

function Sheet({ menu, onClose }: { menu: MenuFor; onClose(): void }) {
  const { message } = menu;
  const { t } = useText();
  const actions = useActions();
  const { items, mayReact } = useItems(message);
  const then = (run: () => void) => () => {
    onClose();
    run();
  };
  const quick = (content: ReactNode, label: string, run: () => void) => (
    <button key={label} type="button" aria-label={label} onClick={then(run)} className="grid aspect-square flex-1 place-items-center rounded-full bg-hover text-2xl text-soft">{content}</button>
  );
  return (
    <Dialog open onClose={onClose} title={t("messageActions")}>
      {message.body !== "" && <div className="mb-4 rounded-xl bg-ground px-3.5 py-2"><p dir="auto" className="line-clamp-2 text-sm break-words text-soft">{message.body}</p></div>}
      {mayReact && (
        <div role="group" aria-label={t("react")} className="mb-3 flex gap-1.5">
          {quickReactions.map((emoji) => quick(emoji, t("reactWith", { emoji }), () => actions.react(message, emoji)))}
          {quick(<Icon name="plus" />, t("moreReactions"), () => actions.pickReaction(message))}
        </div>
      )}
      <ul className="-mx-2">
        {items.map(({ icon, label, danger, run }) => (
          <li key={label}>
            <button type="button" onClick={then(run)} className={`flex min-h-12 w-full items-center gap-4 rounded-xl px-3 text-start text-base active:bg-hover ${danger ? "text-danger" : ""}`}>
              <Icon name={icon} className={danger ? "" : "text-soft"} />
              {label}
            </button>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
