import type { Conversation } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import type { FormEvent } from "react";
import { useText } from "../i18n/useText";
import { button } from "../ui/button";
import { Dialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { useAction } from "../ui/useAction";

export function Rename({ open, onClose, conversation }: { open: boolean; onClose(): void; conversation: Conversation }) {
  const client = useTertulia();
  const { t } = useText();
  const { run, busy } = useAction();
  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const title = String(new FormData(event.currentTarget).get("title") ?? "").trim();
    if (title === "") return;
    if (title === conversation.title || (await run(() => client.rest.rename(conversation.id, title)))) onClose();
  }
  return (
    <Dialog open={open} onClose={onClose} title={t("renameGroup")}>
      <form onSubmit={(event) => void submit(event)} className="pt-3">
        <Field label={t("groupTitle")} name="title" data-autofocus defaultValue={conversation.title ?? ""} maxLength={200} required autoComplete="off" />
        <button type="submit" className={button("primary", "w-full")} disabled={busy}>{t("save")}</button>
      </form>
    </Dialog>
  );
}
