import type { Conversation, Member } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useState, type ReactNode } from "react";
import { faceOf, isMuted, titleOf } from "../conversations/describe";
import { useText } from "../i18n/useText";
import { navigate } from "../shell/router";
import { toast } from "../shell/toasts";
import { Presence } from "../timeline/Header";
import { Avatar } from "../ui/Avatar";
import { button, iconButton } from "../ui/button";
import { Confirm } from "../ui/Dialog";
import { Icon, type IconName } from "../ui/Icon";
import { Menu, MenuItem } from "../ui/Menu";
import { useAction } from "../ui/useAction";
import { useMedia } from "../ui/useMedia";
import { useNow } from "../ui/useNow";
import { Leave } from "./Leave";
import { Members } from "./Members";
import { Rename } from "./Rename";

interface InfoPaneProps {
  conversation: Conversation;
  members: readonly Member[] | undefined;
  onClose(): void;
}

/** A mute without an end. */
const FOR_EVER = Date.UTC(9999, 0, 1);
const HOUR_MS = 3_600_000;

/** Beside the conversation where there is room, else in its place. */
export function InfoPane({ conversation, members, onClose }: InfoPaneProps) {
  const client = useTertulia();
  const { t } = useText();
  const { run, busy } = useAction();
  const [dialog, setDialog] = useState<"rename" | "leave" | "block" | null>(null);
  const close = () => setDialog(null);
  const { id, peer } = conversation;
  const title = titleOf(conversation);
  const isBeside = useMedia("(min-width: 76rem)");
  const Title = isBeside ? "h2" : "h1";
  const manages = conversation.myRole !== "member" && !conversation.isLeft;
  const mute = (until: number | null) => void run(() => client.mute(id, until));
  return (
    <aside aria-label={t(peer === null ? "groupInfo" : "personInfo")} className="flex min-h-0 w-full flex-col overflow-y-auto bg-panel wide:w-88 wide:shrink-0 wide:border-s wide:border-line">
      <header className="sticky top-0 z-10 flex h-16 shrink-0 items-center gap-2 bg-panel px-3">
        <button type="button" className={iconButton} aria-label={t("close")} onClick={onClose}><Icon name="close" /></button>
        <Title className="font-semibold">{t(peer === null ? "groupInfo" : "personInfo")}</Title>
      </header>
      <div className="mx-auto w-full max-w-lg px-4 pb-8">
        <div className="flex flex-col items-center pt-2 pb-6 text-center">
          <Avatar {...faceOf(conversation)} name={title} size="xl" />
          <p className="mt-3 max-w-full text-xl font-semibold [overflow-wrap:anywhere]"><bdi>{title}</bdi></p>
          {peer === null ? (
            <p className="text-soft">{t("membersCount", { count: conversation.memberCount })}</p>
          ) : (
            <>
              {peer.email !== null && <p className="max-w-full truncate text-soft">{peer.email}</p>}
              <p className="text-sm text-soft"><Presence user={peer.id} /></p>
            </>
          )}
          {peer === null && manages && (
            <button type="button" className={button("quiet", "mt-2")} onClick={() => setDialog("rename")}>
              <Icon name="edit" size={17} />
              {t("rename")}
            </button>
          )}
        </div>
        {peer === null && <Members title={isBeside ? "h3" : "h2"} conversation={conversation} members={members} manages={manages} />}
        <Card>
          <MuteLine conversation={conversation} onMute={mute} />
          <Line icon="hide" disabled={busy} onPress={() => void run(async () => {
            await client.rest.hide(id);
            toast(t("hidden"));
            navigate({ at: "home" }, { replace: true });
          })} note={t("hideText")}>{t("hide")}</Line>
          {peer !== null && <Line icon="block" danger onPress={() => setDialog("block")}>{t("block")}</Line>}
          {peer === null && !conversation.isLeft && <Line icon="leave" danger onPress={() => setDialog("leave")}>{t("leaveGroup")}</Line>}
        </Card>
        {peer === null && <p className="mt-4 px-2 text-sm text-soft">{t(conversation.historyVisibility === "all" ? "visibilityAll" : "visibilityJoined")}</p>}
      </div>
      <Rename open={dialog === "rename"} onClose={close} conversation={conversation} />
      <Leave open={dialog === "leave"} onClose={close} conversation={conversation} members={members ?? []} />
      {peer !== null && (
        <Confirm
          open={dialog === "block"}
          onClose={close}
          busy={busy}
          onConfirm={() => void run(() => client.rest.block(peer.id), t("blockedNow", { name: peer.name })).then(close)}
          title={t("blockTitle", { name: peer.name })}
          text={t("blockText")}
          action={t("block")}
        />
      )}
    </aside>
  );
}

export function Card({ children }: { children: ReactNode }) {
  return <div className="mt-4 overflow-hidden rounded-2xl border border-line bg-raised">{children}</div>;
}

interface LineProps {
  icon: IconName;
  onPress(): void;
  danger?: boolean;
  disabled?: boolean;
  note?: string;
  children: ReactNode;
}

function Line({ icon, onPress, danger = false, disabled = false, note, children }: LineProps) {
  return (
    <button type="button" disabled={disabled} onClick={onPress} className={`flex min-h-12 w-full items-center gap-3.5 px-4 py-2 text-start -outline-offset-2 transition-colors not-first:border-t not-first:border-line hover:bg-hover ${danger ? "text-danger" : ""}`}>
      <Icon name={icon} className={danger ? "" : "text-soft"} />
      <span className="min-w-0">
        {children}
        {note !== undefined && <span className="block text-sm text-soft">{note}</span>}
      </span>
    </button>
  );
}

function MuteLine({ conversation, onMute }: { conversation: Conversation; onMute(until: number | null): void }) {
  const { t, format } = useText();
  const now = useNow();
  const until = conversation.mutedUntil;
  if (until !== null && isMuted(conversation, now)) {
    return <Line icon="sound" onPress={() => onMute(null)} note={until >= FOR_EVER ? t("mutedAlways") : t("mutedUntil", { when: format.full(until) })}>{t("unmute")}</Line>;
  }
  const choices = [["muteHour", HOUR_MS], ["muteEight", 8 * HOUR_MS], ["muteWeek", 168 * HOUR_MS], ["muteAlways", null]] as const;
  return (
    <Menu
      align="start"
      trigger={
        <button type="button" className="flex min-h-12 w-full items-center gap-3.5 px-4 py-2 text-start -outline-offset-2 hover:bg-hover data-[state=open]:bg-hover">
          <Icon name="mute" className="text-soft" />
          {t("mute")}
        </button>
      }
    >
      {choices.map(([key, ms]) => <MenuItem key={key} onSelect={() => onMute(ms === null ? FOR_EVER : Date.now() + ms)}>{t(key)}</MenuItem>)}
    </Menu>
  );
}
