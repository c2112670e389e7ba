import { useState } from "react";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { navigate, pathOf, type Route } from "../shell/router";
import { SEARCH_FIELD } from "../shell/shortcuts";
import { Avatar } from "../ui/Avatar";
import { iconButton } from "../ui/button";
import { Icon } from "../ui/Icon";
import { Menu, MenuItem } from "../ui/Menu";
import { ConversationList } from "./ConversationList";
import { NewDm } from "./NewDm";
import { NewGroup } from "./NewGroup";
import { SearchResults } from "./SearchResults";

/** `isAlone`: nothing else is on the screen, as on a phone. */
export function Sidebar({ route, isAlone }: { route: Route; isAlone: boolean }) {
  const Title = isAlone ? "h1" : "h2";
  const { t } = useText();
  const me = useMe();
  const [question, setQuestion] = useState("");
  const [dialog, setDialog] = useState<"dm" | "group" | null>(null);
  const close = () => setDialog(null);
  return (
    <nav aria-label={t("conversations")} className="flex min-h-0 flex-1 flex-col">
      <header className="flex items-center gap-1 px-4 pt-3 pb-2">
        <a
          href={pathOf({ at: "settings" })}
          onClick={(event) => {
            event.preventDefault();
            navigate({ at: "settings" });
          }}
          aria-current={route.at === "settings" ? "page" : undefined}
          aria-label={`${t("settings")} (${me.name})`}
          title={t("settings")}
          className="me-2 rounded-full ring-offset-2 ring-offset-panel transition hover:ring-2 hover:ring-line-strong aria-[current]:ring-2 aria-[current]:ring-accent"
        >
          <Avatar id={me.id} name={me.name} picture={me.avatarUrl} />
        </a>
        <Title className="min-w-0 flex-1 truncate text-xl font-semibold tracking-tight">{t("conversations")}</Title>
        <Menu
          trigger={
            <button type="button" className={iconButton} aria-label={t("newConversation")} title={t("newConversation")}>
              <Icon name="compose" />
            </button>
          }
        >
          <MenuItem icon="person" onSelect={() => setDialog("dm")}>{t("newDm")}</MenuItem>
          <MenuItem icon="group" onSelect={() => setDialog("group")}>{t("newGroup")}</MenuItem>
        </Menu>
      </header>
      <div className="relative px-4 pb-3" role="search" aria-label={t("searchPlaceholder")}>
        <Icon name="search" size={18} className="pointer-events-none absolute start-7 top-3 text-faint" />
        <input
          id={SEARCH_FIELD}
          type="search"
          dir="auto"
          value={question}
          onChange={(event) => setQuestion(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") setQuestion("");
            if (event.key === "ArrowDown") {
              event.preventDefault();
              document.querySelector<HTMLElement>("[data-result]")?.focus();
            }
          }}
          aria-label={t("searchPlaceholder")}
          placeholder={t("searchPlaceholder")}
          autoComplete="off"
          className="min-h-11 w-full rounded-xl bg-sunken ps-10 pe-10 placeholder:text-faint focus-visible:outline-2 focus-visible:outline-offset-0 [&::-webkit-search-cancel-button]:hidden"
        />
        {question !== "" && (
          <button type="button" className="absolute end-5 top-1 grid size-9 place-items-center rounded-full text-soft hover:text-ink" aria-label={t("clearSearch")} onClick={() => setQuestion("")}>
            <Icon name="close" size={16} />
          </button>
        )}
      </div>
      {question.trim() === "" ? (
        <ConversationList selected={route.at === "conversation" ? route.id : null} onNewDm={() => setDialog("dm")} onNewGroup={() => setDialog("group")} />
      ) : (
        <SearchResults question={question.trim()} isAlone={isAlone} onDone={() => setQuestion("")} />
      )}
      <NewDm open={dialog === "dm"} onClose={close} />
      <NewGroup open={dialog === "group"} onClose={close} />
    </nav>
  );
}
