import type { Conversation, Member } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useId, useState } from "react";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { navigate } from "../shell/router";
import { field } from "../ui/button";
import { Confirm } from "../ui/Dialog";
import { useAction } from "../ui/useAction";

interface LeaveProps {
  open: boolean;
  onClose(): void;
  conversation: Conversation;
  members: readonly Member[];
}

/** The last owner names another first. */
export function Leave({ open, onClose, conversation, members }: LeaveProps) {
  const client = useTertulia();
  const { t } = useText();
  const me = useMe();
  const id = useId();
  const { run, busy } = useAction();
  const others = members.filter((member) => member.userId !== me.id);
  const isLastOwner = conversation.myRole === "owner" && others.length > 0 && others.every((member) => member.role !== "owner");
  const best = others.find((member) => member.role === "admin") ?? others[0];
  const [heir, setHeir] = useState<string | null>(null);
  async function leave() {
    const newOwner = isLastOwner ? (heir ?? best?.userId) : undefined;
    if (!(await run(() => client.rest.removeMember(conversation.id, me.id, newOwner)))) return;
    onClose();
    navigate({ at: "home" }, { replace: true });
  }
  return (
    <Confirm open={open} onClose={onClose} onConfirm={() => void leave()} busy={busy} title={t("leaveTitle", { title: conversation.title ?? "" })} text={t("leaveText")} action={t("leave")}>
      {isLastOwner && (
        <div className="mb-5">
          <label htmlFor={id} className="mb-1.5 block text-sm font-medium">{t("leaveOwner")}</label>
          <select id={id} className={field} value={heir ?? best?.userId} onChange={(event) => setHeir(event.target.value)}>
            {others.map((member) => <option key={member.userId} value={member.userId}>{member.name}</option>)}
          </select>
        </div>
      )}
    </Confirm>
  );
}
