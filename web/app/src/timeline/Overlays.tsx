import type { Conversation, Member } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { lazy, Suspense, type ReactNode } from "react";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { Avatar } from "../ui/Avatar";
import { Confirm, Dialog } from "../ui/Dialog";
import { useAction } from "../ui/useAction";
import { refOf, useActions } from "./actions";
import type { Over } from "./useMessageActions";

const EmojiPicker = lazy(() => import("../composer/EmojiPicker"));

interface OverlaysProps {
  conversation: Conversation;
  members: readonly Member[] | undefined;
  over: Over;
  onClose(): void;
}

/** What is asked or shown about one message. */
export function Overlays({ conversation, members, over, onClose }: OverlaysProps) {
  const client = useTertulia();
  const { t } = useText();
  const { react } = useActions();
  const { run } = useAction();
  return (
    <>
      <Confirm
        open={over?.what === "delete"}
        onClose={onClose}
        onConfirm={() => {
          if (over !== null) void run(() => client.delete(conversation.id, refOf(over.message)));
          onClose();
        }}
        title={t("deleteTitle")}
        text={t("deleteText")}
        action={t("delete")}
      />
      <Dialog open={over?.what === "react"} onClose={onClose} title={t("react")}>
        <Suspense fallback={<div className="h-80" aria-busy="true" />}>
          <EmojiPicker
            onPick={(emoji) => {
              if (over !== null) react(over.message, emoji);
              onClose();
            }}
          />
        </Suspense>
      </Dialog>
      <Dialog open={over?.what === "seenBy"} onClose={onClose} title={t("seenByTitle")}>
        {over !== null && <SeenBy members={members ?? []} seq={over.message.seq ?? Infinity} />}
      </Dialog>
    </>
  );
}

function SeenBy({ members, seq }: { members: readonly Member[]; seq: number }) {
  const me = useMe();
  const { t } = useText();
  const others = members.filter((member) => member.userId !== me.id);
  const seen = others.filter((member) => member.readSeq >= seq);
  const delivered = others.filter((member) => member.readSeq < seq && member.deliveredSeq >= seq);
  return (
    <>
      {seen.length === 0 ? <p className="py-2 text-soft">{t("seenByNobody")}</p> : <People>{seen.map((member) => <Person key={member.userId} member={member} />)}</People>}
      {delivered.length > 0 && (
        <>
          <h3 className="mt-4 mb-1 text-sm font-semibold text-soft">{t("deliveredTo")}</h3>
          <People>{delivered.map((member) => <Person key={member.userId} member={member} />)}</People>
        </>
      )}
    </>
  );
}

function People({ children }: { children: ReactNode }) {
  return <ul className="space-y-1">{children}</ul>;
}

function Person({ member }: { member: Member }) {
  return (
    <li className="flex items-center gap-3 py-1">
      <Avatar id={member.userId} name={member.name} picture={member.avatarUrl} />
      <span className="truncate"><bdi>{member.name}</bdi></span>
    </li>
  );
}
