import type { ReactNode } from "react";
import { Icon, type IconName } from "./Icon";

/** What a place says while there is nothing in it, and what to do about it. */
export function Empty({ icon, title, text, children }: { icon: IconName; title: string; text?: string; children?: ReactNode }) {
  return (
    <div className="mx-auto flex max-w-xs flex-col items-center px-6 py-10 text-center">
      <span className="mb-4 grid size-14 place-items-center rounded-2xl bg-selected text-accent">
        <Icon name={icon} size={26} />
      </span>
      <p className="font-semibold break-words">{title}</p>
      {text !== undefined && <p className="mt-1 text-soft">{text}</p>}
      {children !== undefined && <div className="mt-5 flex flex-wrap justify-center gap-2">{children}</div>}
    </div>
  );
}
