import { useTertulia } from "@tertulia/react";
import { useState, type FormEvent } from "react";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { Avatar } from "../ui/Avatar";
import { button } from "../ui/button";
import { Field } from "../ui/Field";
import { useAction } from "../ui/useAction";

export function Profile() {
  const client = useTertulia();
  const me = useMe();
  const { t } = useText();
  const { run, busy } = useAction();
  const [name, setName] = useState(me.name);
  const [picture, setPicture] = useState(me.avatarUrl ?? "");
  const isChanged = name.trim() !== me.name || picture.trim() !== (me.avatarUrl ?? "");
  function submit(event: FormEvent) {
    event.preventDefault();
    void run(() => client.rest.updateMe({ name: name.trim(), avatarUrl: picture.trim() === "" ? null : picture.trim() }), t("saved"));
  }
  return (
    <form onSubmit={submit}>
      <div className="mb-5 flex items-center gap-4">
        <Avatar id={me.id} name={name} picture={picture} size="xl" />
        <div className="min-w-0">
          <span className="block truncate text-lg font-semibold"><bdi>{me.name}</bdi></span>
          <p className="truncate text-soft">{me.email}</p>
        </div>
      </div>
      <Field label={t("yourName")} value={name} onChange={(event) => setName(event.target.value)} required maxLength={100} autoComplete="name" />
      <Field label={t("picture")} hint={t("pictureHint")} value={picture} onChange={(event) => setPicture(event.target.value)} inputMode="url" autoComplete="off" />
      <button type="submit" className={button("primary")} disabled={busy || !isChanged || name.trim() === ""}>{t("save")}</button>
    </form>
  );
}
