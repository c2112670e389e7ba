import type { User } from "@tertulia/client";
import { useRefused } from "@tertulia/react";
import { ConversationPane } from "../timeline/ConversationPane";
import { Sidebar } from "../conversations/Sidebar";
import { reasonOf } from "../errors";
import { useText } from "../i18n/useText";
import { Notifying } from "../notify/Notifying";
import { OfferBanner } from "../notify/OfferBanner";
import { Settings } from "../settings/Settings";
import { Empty } from "../ui/Empty";
import { useMedia } from "../ui/useMedia";
import { Banner } from "./Banner";
import { Me } from "./me";
import { useRoute } from "./router";
import { useShortcuts } from "./shortcuts";
import { toast } from "./toasts";
import { Unread } from "./Unread";
import { UpdatePrompt } from "./UpdatePrompt";

/** The list and what is chosen in it: beside each other, or on a phone one at a time. */
export function Signed({ me }: { me: User }) {
  const route = useRoute();
  const { t } = useText();
  useShortcuts();
  useRefused(({ code }) => toast(t("refusedText", { reason: reasonOf(code, t) }), "problem"));
  const isHome = route.at === "home";
  const isAlone = useMedia("(max-width: 47.99rem)") && isHome;
  return (
    <Me value={me}>
      <Unread />
      <Notifying />
      <a href="#main" className="sr-only z-50 rounded-xl bg-fill px-4 py-2 text-on-accent focus:not-sr-only focus:fixed focus:start-3 focus:top-3" onClick={(event) => {
        event.preventDefault();
        document.getElementById("main")?.focus();
      }}>
        {t("skipToConversation")}
      </a>
      <div className="flex h-dvh flex-col overflow-hidden">
        <Banner />
        <OfferBanner />
        <div className="flex min-h-0 flex-1">
          <div role={isAlone ? "main" : undefined} className={`${isHome ? "flex" : "hidden"} min-h-0 w-full flex-col bg-panel md:flex md:w-[22rem] md:shrink-0 md:border-e md:border-line`}>
            <Sidebar route={route} isAlone={isAlone} />
          </div>
          <main id="main" tabIndex={-1} className={`${isHome ? "hidden" : "flex"} min-h-0 min-w-0 flex-1 flex-col outline-none md:flex`}>
            {route.at === "conversation" && <ConversationPane key={route.id} id={route.id} message={route.message} info={route.info} />}
            {route.at === "settings" && <Settings />}
            {isHome && (
              <div className="grid flex-1 place-items-center">
                <h1 className="sr-only">{t("appName")}</h1>
                <Empty icon="compose" title={t("chooseConversation")} text={t("chooseConversationText")} />
              </div>
            )}
          </main>
        </div>
      </div>
      <UpdatePrompt />
    </Me>
  );
}
