import { useSyncExternalStore } from "react";

export interface Toast {
  id: number;
  text: string;
  kind: "done" | "problem";
}

const SHOWN_MS = { done: 3500, problem: 7000 };
const SHOWN_MAX = 3;

let toasts: readonly Toast[] = [];
let next = 1;
const listeners = new Set<() => void>();

function set(now: readonly Toast[]): void {
  toasts = now;
  for (const listener of listeners) listener();
}

/** Says something for a while. The same thing said again stays once. */
export function toast(text: string, kind: Toast["kind"] = "done"): void {
  const id = next++;
  set([...toasts.filter((other) => other.text !== text), { id, text, kind }].slice(-SHOWN_MAX));
  setTimeout(() => dismiss(id), SHOWN_MS[kind]);
}

export function dismiss(id: number): void {
  set(toasts.filter((other) => other.id !== id));
}

export function useToasts(): readonly Toast[] {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, () => toasts);
}
