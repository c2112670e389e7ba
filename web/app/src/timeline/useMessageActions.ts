import type { Conversation, Member, Message, MessageRef, Timeline } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useEffect, useMemo, useRef, useState } from "react";
import { explain } from "../errors";
import { useText } from "../i18n/useText";
import { preferences, setPreferences } from "../shell/preferences";
import { withRecent } from "../composer/emoji";
import { toast } from "../shell/toasts";
import type { Mode } from "../composer/mode";
import { useMe } from "../shell/me";
import { refOf, type Actions } from "./actions";
import type { MenuFor } from "./MessageMenu";
import type { Target } from "./TimelineList";

/** What lies over the timeline, and about which message. */
export type Over = { what: "delete" | "react" | "seenBy"; message: Message } | null;

/** The actions of a conversation on the screen, and what they open. */
export function useMessageActions(conversation: Conversation | null | undefined, members: readonly Member[] | undefined, timeline: Timeline | null) {
  const client = useTertulia();
  const me = useMe();
  const { t } = useText();
  const [menu, setMenu] = useState<MenuFor | null>(null);
  const [over, setOver] = useState<Over>(null);
  const [mode, setMode] = useState<Mode>(null);
  const [target, setTarget] = useState<Target | null>(null);
  const latest = useRef({ members, timeline });
  useEffect(() => {
    latest.current = { members, timeline };
  });
  const id = conversation?.id ?? "";
  const isLeft = conversation?.isLeft ?? true;

  const actions = useMemo<Actions & { showMessage(id: string): Promise<void> }>(() => {
    const refused = (error: unknown) => toast(explain(error, t), "problem");
    const run = (promise: Promise<unknown>) => void promise.catch(refused);
    const compose = (next: Mode) => {
      setMode(next);
      // After the menu has given the focus back.
      requestAnimationFrame(() => requestAnimationFrame(() => document.getElementById("composer")?.focus()));
    };
    async function showMessage(message: string) {
      try {
        await latest.current.timeline?.jumpTo(message);
        setTarget({ id: message });
      } catch {
        toast(t("jumpFailed"), "problem");
      }
    }
    return {
      isLeft,
      nameOf: (user) => latest.current.members?.find((member) => member.userId === user)?.name ?? "?",
      openMenu: (message, at) => setMenu({ message, ...at }),
      reply: (message) => compose({ kind: "reply", message }),
      edit: (message) => compose({ kind: "edit", message }),
      askDelete: (message) => setOver({ what: "delete", message }),
      pickReaction: (message) => setOver({ what: "react", message }),
      seenBy: (message) => setOver({ what: "seenBy", message }),
      react(message, emoji) {
        const isMine = message.reactions.some((reaction) => reaction.emoji === emoji && reaction.userIds.includes(me.id));
        if (!isMine) setPreferences({ recentEmoji: withRecent(preferences().recentEmoji, emoji) });
        run(client.react(id, refOf(message), emoji, isMine));
      },
      copy(message) {
        navigator.clipboard.writeText(message.body).then(() => toast(t("copied")), () => toast(t("errorOther"), "problem"));
      },
      retry: (entry) => run(client.retry(entry)),
      discard: (entry) => run(client.discard(entry)),
      jumpTo(ref: MessageRef) {
        if ("id" in ref) void showMessage(ref.id);
        else
          void client.message(id, ref).then((message) => {
            if (message?.id != null) void showMessage(message.id);
          }, refused);
      },
      showMessage,
    };
  }, [client, id, isLeft, me.id, t]);

  return { actions, menu, setMenu, over, setOver, mode, setMode, target, setTarget };
}
