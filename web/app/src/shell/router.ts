import { useSyncExternalStore } from "react";

/** Every screen there is. */
export type Route =
  | { at: "home" }
  /** `message`: to be shown, wherever in the history it is. */
  | { at: "conversation"; id: string; message: string | null; info: boolean }
  | { at: "settings" };

export function routeOf(url: URL): Route {
  const [, first, second, third] = url.pathname.split("/");
  if (first === "settings") return { at: "settings" };
  if (first === "c" && second) {
    return { at: "conversation", id: decodeURIComponent(second), message: url.searchParams.get("m"), info: third === "info" };
  }
  return { at: "home" };
}

export function pathOf(route: Route): string {
  switch (route.at) {
    case "home":
      return "/";
    case "settings":
      return "/settings";
    case "conversation": {
      const path = `/c/${encodeURIComponent(route.id)}${route.info ? "/info" : ""}`;
      return route.message === null ? path : `${path}?m=${encodeURIComponent(route.message)}`;
    }
  }
}

export function conversationRoute(id: string, message: string | null = null): Route {
  return { at: "conversation", id, message, info: false };
}

const listeners = new Set<() => void>();
let present = { href: "", route: { at: "home" } as Route };

function current(): Route {
  if (present.href !== location.href) present = { href: location.href, route: routeOf(new URL(location.href)) };
  return present.route;
}

function tell(): void {
  for (const listener of listeners) listener();
}

export function navigate(route: Route, { replace = false } = {}): void {
  const path = pathOf(route);
  if (path === location.pathname + location.search) return;
  if (replace) history.replaceState(history.state, "", path);
  else history.pushState({ depth: depth() + 1 }, "", path);
  tell();
}

function depth(): number {
  return (history.state as { depth?: number } | null)?.depth ?? 0;
}

/** Where one came from if that was here, else to `fallback`: a page opened by a link has nothing behind it. */
export function goBack(fallback: Route): void {
  if (depth() > 0) history.back();
  else navigate(fallback, { replace: true });
}

export function useRoute(): Route {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    addEventListener("popstate", listener);
    return () => {
      listeners.delete(listener);
      removeEventListener("popstate", listener);
    };
  }, current);
}
