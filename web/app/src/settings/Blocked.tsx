import { useTertulia } from "@tertulia/react";
import { useCallback } from "react";
import { useText } from "../i18n/useText";
import { Avatar } from "../ui/Avatar";
import { button } from "../ui/button";
import { useAction } from "../ui/useAction";
import { useAsked } from "./useAsked";

export function Blocked() {
  const client = useTertulia();
  const { t } = useText();
  const { run, busy } = useAction();
  const { value: people, problem, again } = useAsked(useCallback(() => client.rest.blocked(), [client]));
  if (people === undefined) return <p className="text-soft">{problem ?? t("loading")}</p>;
  if (people.length === 0) return <p className="text-soft">{t("noBlocked")}</p>;
  return (
    <ul className="divide-y divide-line">
      {people.map((user) => (
        <li key={user.id} className="flex items-center gap-3 py-2">
          <Avatar id={user.id} name={user.name} picture={user.avatarUrl} />
          <span className="min-w-0 flex-1 truncate"><bdi>{user.name}</bdi></span>
          <button type="button" className={button("secondary")} disabled={busy} onClick={() => void run(() => client.rest.unblock(user.id)).then(again)}>{t("unblock")}</button>
        </li>
      ))}
    </ul>
  );
}
