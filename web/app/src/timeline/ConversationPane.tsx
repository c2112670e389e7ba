import { useConversation, useConversations, useMembers, useTimeline } from "@tertulia/react";
import { useCallback, useEffect, useState } from "react";
import { Composer } from "../composer/Composer";
import { titleOf } from "../conversations/describe";
import { InfoPane } from "../group/InfoPane";
import { useText } from "../i18n/useText";
import { conversationRoute, goBack, navigate } from "../shell/router";
import { button } from "../ui/button";
import { Empty } from "../ui/Empty";
import { ActionsContext } from "./actions";
import { Announcer } from "./Announcer";
import { Header } from "./Header";
import { MessageMenu } from "./MessageMenu";
import { Overlays } from "./Overlays";
import { SearchInside } from "./SearchInside";
import { TimelineList } from "./TimelineList";
import { TypingLine } from "./TypingLine";
import { useMessageActions } from "./useMessageActions";

interface ConversationPaneProps {
  id: string;
  message: string | null;
  info: boolean;
}

export function ConversationPane({ id, message, info }: ConversationPaneProps) {
  const { t } = useText();
  // The list knows it already while the first answer is on its way.
  const listed = useConversations()?.find((one) => one.id === id);
  const known = useConversation(id);
  const conversation = known === undefined ? listed : known;
  const members = useMembers(id);
  const { view, timeline } = useTimeline(id);
  const { actions, menu, setMenu, over, setOver, mode, setMode, target, setTarget } = useMessageActions(conversation, members, timeline);
  const [isSearching, setIsSearching] = useState(false);
  const closeMenu = useCallback(() => setMenu(null), [setMenu]);

  const isReady = view !== undefined;
  const { showMessage } = actions;
  useEffect(() => {
    if (message === null || !isReady) return;
    void showMessage(message).finally(() => navigate(conversationRoute(id), { replace: true }));
  }, [message, isReady, showMessage, id]);

  if (conversation === null) {
    return (
      <div className="grid flex-1 place-items-center">
        <h1 className="sr-only">{t("conversationGone")}</h1>
        <Empty icon="search" title={t("conversationGone")} text={t("conversationGoneText")}>
          <button type="button" className={button("secondary")} onClick={() => navigate({ at: "home" }, { replace: true })}>{t("back")}</button>
        </Empty>
      </div>
    );
  }
  if (conversation === undefined) return <div className="flex-1" aria-busy="true"><h1 className="sr-only">{t("loading")}</h1></div>;

  const toggleInfo = () => (info ? goBack(conversationRoute(id)) : navigate({ at: "conversation", id, message: null, info: true }));
  return (
    <ActionsContext value={actions}>
      <div className="flex min-h-0 flex-1">
        <section aria-label={titleOf(conversation)} className={`min-h-0 min-w-0 flex-1 flex-col ${info ? "hidden wide:flex" : "flex"}`}>
          <Header
            conversation={conversation}
            isInfoOpen={info}
            isSearching={isSearching}
            onInfo={toggleInfo}
            onSearch={() => setIsSearching(!isSearching)}
          />
          {isSearching && <SearchInside conversation={conversation} onClose={() => setIsSearching(false)} onChoose={(found) => void showMessage(found)} />}
          {view === undefined || timeline === null ? (
            <div className="flex-1" aria-busy="true" />
          ) : view.messages.length === 0 && !view.hasOlder && !view.hasNewer ? (
            <div className="grid flex-1 place-items-center overflow-y-auto"><Empty icon="smile" title={t("emptyTimeline")} text={t("emptyTimelineText")} /></div>
          ) : (
            <TimelineList
              conversation={conversation}
              view={view}
              timeline={timeline}
              target={target}
              onTargetShown={() => setTarget(null)}
              onNewest={() => void timeline.jumpToNewest().catch(() => {})}
            />
          )}
          <TypingLine id={id} />
          <Composer
            key={id}
            conversation={conversation}
            mode={mode}
            onMode={setMode}
            lastOfMine={() => view?.messages.findLast((one) => one.status !== null && one.deletedAt === null)}
          />
          <Announcer messages={view?.messages} />
        </section>
        {info && <InfoPane conversation={conversation} members={members} onClose={() => goBack(conversationRoute(id))} />}
      </div>
      <MessageMenu menu={menu} onClose={closeMenu} />
      <Overlays conversation={conversation} members={members} over={over} onClose={() => setOver(null)} />
    </ActionsContext>
  );
}
