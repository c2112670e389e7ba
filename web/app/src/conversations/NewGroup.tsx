import type { User } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useEffect, useState, type FormEvent } from "react";
import { useText } from "../i18n/useText";
import { conversationRoute, navigate } from "../shell/router";
import { button } from "../ui/button";
import { Dialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { useAction } from "../ui/useAction";
import { PeoplePicker } from "./PeoplePicker";

export function NewGroup({ open, onClose }: { open: boolean; onClose(): void }) {
  const client = useTertulia();
  const { t } = useText();
  const { run, busy } = useAction();
  const [title, setTitle] = useState("");
  const [members, setMembers] = useState<readonly User[]>([]);
  const [showsAll, setShowsAll] = useState(false);
  useEffect(() => {
    if (open) return;
    setTitle("");
    setMembers([]);
    setShowsAll(false);
  }, [open]);
  function submit(event: FormEvent) {
    event.preventDefault();
    void run(async () => {
      const id = await client.rest.createGroup(title.trim(), members.map((user) => ({ userId: user.id })), showsAll ? "all" : "joined");
      onClose();
      navigate(conversationRoute(id));
    });
  }
  return (
    <Dialog open={open} onClose={onClose} title={t("newGroup")} wide>
      <form onSubmit={submit} className="pt-3">
        <Field label={t("groupTitle")} data-autofocus value={title} onChange={(event) => setTitle(event.target.value)} maxLength={200} required autoComplete="off" />
        <PeoplePicker label={t("groupMembers")} hint={t("groupMembersHint")} chosen={members} onChange={setMembers} />
        <label className="mb-5 flex items-start gap-3">
          <input type="checkbox" className="mt-0.5 size-5 accent-[var(--accent-fill)]" checked={showsAll} onChange={(event) => setShowsAll(event.target.checked)} />
          {t("historyForNew")}
        </label>
        <button type="submit" className={button("primary", "w-full")} disabled={busy || title.trim() === ""}>
          {t("createGroup")}
        </button>
      </form>
    </Dialog>
  );
}
