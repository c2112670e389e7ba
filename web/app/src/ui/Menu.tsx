import { DropdownMenu } from "radix-ui";
import { useState, type ReactNode } from "react";
import { Icon, type IconName } from "./Icon";

export const menuBox = "animate-rise z-50 min-w-52 max-w-[min(20rem,calc(100vw-1rem))] rounded-2xl border border-line bg-raised p-1.5 shadow-high";
export const menuItem =
  "flex min-h-10 cursor-default items-center gap-3 rounded-xl px-3 outline-none select-none data-highlighted:bg-hover data-disabled:text-faint";

/**
 * In the landmark of its trigger, which is known before anybody can open it: a menu that changed its place while it is open would be closed by that.
 * Not modal: Radix locks scrolling by a style element, which the Content-Security-Policy forbids.
 */
export function Menu({ trigger, children, align = "end" }: { trigger: ReactNode; children: ReactNode; align?: "start" | "end" }) {
  const [place, setPlace] = useState<HTMLElement | null>(null);
  return (
    <DropdownMenu.Root modal={false}>
      <span ref={setPlace} className="contents"><DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger></span>
      <DropdownMenu.Portal container={place?.closest<HTMLElement>("main, nav, aside") ?? null}>
        <DropdownMenu.Content className={menuBox} align={align} sideOffset={6} collisionPadding={8} loop>
          {children}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

export function MenuItem({ icon, onSelect, danger = false, children }: { icon?: IconName; onSelect(): void; danger?: boolean; children: ReactNode }) {
  return (
    <DropdownMenu.Item className={`${menuItem} ${danger ? "text-danger" : ""}`} onSelect={onSelect}>
      {icon !== undefined && <Icon name={icon} size={18} className={danger ? "" : "text-soft"} />}
      <span className="min-w-0">{children}</span>
    </DropdownMenu.Item>
  );
}

export function MenuLine() {
  return <DropdownMenu.Separator className="mx-2 my-1 h-px bg-line" />;
}
