import { useTertulia } from "@tertulia/react";
import { useCallback } from "react";
import { useText } from "../i18n/useText";
import { iconButton } from "../ui/button";
import { Icon } from "../ui/Icon";
import { useAction } from "../ui/useAction";
import { useNow } from "../ui/useNow";
import { nameOfAgent } from "./agent";
import { useAsked } from "./useAsked";

export function Devices() {
  const client = useTertulia();
  const { t, format } = useText();
  const now = useNow();
  const { run, busy } = useAction();
  const { value: sessions, problem, again } = useAsked(useCallback(() => client.rest.sessions(), [client]));
  if (sessions === undefined) return <p className="text-soft">{problem ?? t("loading")}</p>;
  return (
    <ul className="divide-y divide-line">
      {[...sessions].sort((a, b) => Number(b.isThis) - Number(a.isThis)).map((session) => (
        <li key={session.id} className="flex items-center gap-3 py-2.5">
          <Icon name="device" className="text-soft" />
          <span className="min-w-0 flex-1">
            <span className="block truncate font-medium">{nameOfAgent(session.userAgent) ?? t("unknownDevice")}</span>
            <span className="block text-sm text-soft">
              {session.isThis
                ? <span className="font-medium text-accent">{t("thisDevice")}</span>
                : session.lastSeenAt === null ? t("signedInOn", { when: format.ago(session.createdAt, now) }) : t("lastActive", { when: format.ago(session.lastSeenAt, now) })}
            </span>
          </span>
          {!session.isThis && (
            <button type="button" className={iconButton} disabled={busy} aria-label={t("endSession")} title={t("endSession")} onClick={() => void run(() => client.rest.endSession(session.id), t("endSessionDone")).then(again)}>
              <Icon name="leave" />
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}
