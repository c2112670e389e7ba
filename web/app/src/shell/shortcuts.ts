import { useTertulia } from "@tertulia/react";
import { useEffect } from "react";
import { conversationRoute, navigate, routeOf } from "./router";

export const SEARCH_FIELD = "search-field";

/** Ctrl or Cmd + K: search. Alt + arrow: the next or the previous conversation. */
export function useShortcuts(): void {
  const client = useTertulia();
  useEffect(() => {
    function onKey(event: KeyboardEvent) {
      if (event.defaultPrevented) return;
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        const route = routeOf(new URL(location.href));
        if (route.at !== "home" && matchMedia("(max-width: 47.99rem)").matches) navigate({ at: "home" });
        requestAnimationFrame(() => document.getElementById(SEARCH_FIELD)?.focus());
      } else if (event.altKey && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
        const shown = (client.conversations.get() ?? []).filter((c) => !c.isHidden);
        const route = routeOf(new URL(location.href));
        const at = route.at === "conversation" ? shown.findIndex((c) => c.id === route.id) : -1;
        const next = shown[event.key === "ArrowDown" ? at + 1 : at < 0 ? shown.length - 1 : at - 1];
        if (next === undefined) return;
        event.preventDefault();
        navigate(conversationRoute(next.id));
      }
    }
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [client]);
}
