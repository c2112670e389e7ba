import { useLayoutEffect, useRef, useState, type FocusEvent, type KeyboardEvent, type RefObject } from "react";
import type { VirtualizerHandle } from "virtua";
import { useMe } from "../shell/me";
import { can, useActions } from "./actions";
import type { Row } from "./rows";

const PAGE = 8;

/** One row is the tab stop; arrows move it, letters act on it. */
export function useRowKeys(rows: readonly Row[], handle: RefObject<VirtualizerHandle | null>, scroller: RefObject<HTMLElement | null>) {
  const [active, setActive] = useState<number | null>(null);
  const wanted = useRef(false);
  const me = useMe();
  const actions = useActions();

  const rowOf = (target: EventTarget) => {
    const element = (target as Element).closest?.<HTMLElement>("[data-key]") ?? null;
    return element === null ? null : { element, at: rows.findIndex((row) => row.key === Number(element.dataset["key"])) };
  };

  useLayoutEffect(() => {
    if (!wanted.current || active === null) return;
    wanted.current = false;
    scroller.current?.querySelector<HTMLElement>(`[data-key="${active}"]`)?.focus({ preventScroll: true });
  }, [active, scroller]);

  function move(to: number) {
    const at = Math.max(0, Math.min(rows.length - 1, to));
    const row = rows[at];
    if (row === undefined || row.key === active) return;
    wanted.current = true;
    setActive(row.key);
    handle.current?.scrollToIndex(at, { align: "nearest" });
  }

  function onKeyDown(event: KeyboardEvent<HTMLElement>) {
    const hit = rowOf(event.target);
    if (hit === null || hit.element !== event.target || event.altKey || event.ctrlKey || event.metaKey) return;
    const message = rows[hit.at]?.message;
    if (message === undefined) return;
    const may = can(message, me.id, actions.isLeft);
    const run: Record<string, (() => void) | false> = {
      ArrowUp: () => move(hit.at - 1),
      ArrowDown: () => move(hit.at + 1),
      PageUp: () => move(hit.at - PAGE),
      PageDown: () => move(hit.at + PAGE),
      Home: () => move(0),
      End: () => move(rows.length - 1),
      Enter: openMenu,
      " ": openMenu,
      ContextMenu: openMenu,
      e: may.edit && (() => actions.edit(message)),
      r: may.reply && (() => actions.reply(message)),
      "+": may.react && (() => actions.pickReaction(message)),
      Delete: may.delete && (() => actions.askDelete(message)),
      Backspace: may.delete && (() => actions.askDelete(message)),
      Escape: () => document.getElementById("composer")?.focus(),
    };
    const act = run[event.key] ?? (event.key === "F10" && event.shiftKey ? openMenu : false);
    if (act === false) return;
    event.preventDefault();
    act();

    function openMenu() {
      const box = hit!.element.getBoundingClientRect();
      actions.openMenu(message!, { x: box.left + box.width / 2, y: Math.min(box.bottom, innerHeight - 80) });
    }
  }

  function onFocus(event: FocusEvent) {
    const hit = rowOf(event.target);
    const row = hit === null ? undefined : rows[hit.at];
    if (row !== undefined && row.key !== active) setActive(row.key);
  }

  return { active, setActive, onKeyDown, onFocus };
}
