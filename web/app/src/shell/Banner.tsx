import type { ConnectionState, Waiting } from "@tertulia/client";
import { useConnection, useOutbox, useStorage, useTertulia } from "@tertulia/react";
import { useEffect, useState } from "react";
import type { Translate } from "../i18n/translate";
import { useText } from "../i18n/useText";
import { SignInForm } from "../sign-in/SignInForm";
import { button } from "../ui/button";
import { Dialog } from "../ui/Dialog";
import { Icon } from "../ui/Icon";
import { LogOut } from "../settings/LogOut";

/** Short interruptions are nobody's business. */
const PATIENCE_MS = 1200;

/** How it stands with the network where that is worth a line: what waits, when the next try is, what to do. */
export function Banner() {
  const connection = useConnection();
  const outbox = useOutbox();
  const storage = useStorage();
  const { t } = useText();
  const client = useTertulia();
  const [dialog, setDialog] = useState<"signIn" | "logOut" | null>(null);
  const isWorthALine = useHeld(connection);
  const seconds = useCountdown(connection);

  let content: { text: string; action?: { label: string; run(): void } } | null = null;
  if (connection !== undefined && isWorthALine) {
    const waiting = whatWaits(outbox, t);
    const withWaiting = (text: string) => (waiting === "" ? text : `${text} ${waiting}`);
    switch (connection.state) {
      case "offline":
        content = { text: withWaiting(t("noConnection")) };
        break;
      case "waiting":
        content = { text: `${withWaiting(t("serverAway"))} ${t("tryAgainIn", { count: seconds })}`, action: { label: t("tryNow"), run: () => void client.connect() } };
        break;
      case "connecting":
        content = { text: withWaiting(t("connecting")) };
        break;
      case "connected":
        if (!connection.caughtUp) content = { text: t("catchingUp") };
        break;
      case "paused":
        content = { text: withWaiting(t("paused")), action: { label: t("connect"), run: () => void client.connect() } };
        break;
      case "signedOut":
        content = { text: t("signInAgain"), action: { label: t("signIn"), run: () => setDialog("signIn") } };
        break;
      case "wrongAccount":
        content = { text: t("otherAccount"), action: { label: t("logOut"), run: () => setDialog("logOut") } };
        break;
      case "newerVersion":
        content = { text: t("newVersion"), action: { label: t("reload"), run: () => location.reload() } };
        break;
    }
  }
  // Nothing else is worth more than this for somebody who relies on what they have written.
  const isInMemory = content === null && storage?.isDurable === false;
  if (isInMemory) content = { text: t("storageMemory") };
  const isQuiet = isInMemory || connection?.state === "connecting" || connection?.state === "connected";
  return (
    <>
      <div role="status" data-testid="banner">
        {content !== null && (
          <div className={`flex min-h-10 items-center justify-center gap-2 px-4 py-1 text-sm ${isQuiet ? "bg-sunken text-soft" : "bg-notice text-on-notice"}`}>
            {!isQuiet && <Icon name={connection?.state === "signedOut" || connection?.state === "wrongAccount" ? "warning" : "offline"} size={18} />}
            <p className="min-w-0">{content.text}</p>
            {content.action !== undefined && (
              <button type="button" className="min-h-8 rounded-lg px-2 font-semibold whitespace-nowrap underline underline-offset-2" onClick={content.action.run}>
                {content.action.label}
              </button>
            )}
          </div>
        )}
      </div>
      <Dialog open={dialog === "signIn"} onClose={() => setDialog(null)} title={t("signInAgainTitle")} text={t("signInAgain")}>
        <SignInForm mode="signIn" email={client.account.get()?.email ?? ""} onDone={() => setDialog(null)} submitClass={button("primary", "w-full")} />
      </Dialog>
      <LogOut open={dialog === "logOut"} onClose={() => setDialog(null)} />
    </>
  );
}

function whatWaits(outbox: readonly Waiting[], t: Translate): string {
  const messages = outbox.filter((one) => one.op.op === "send" && one.parked === null).length;
  const changes = outbox.filter((one) => one.op.op !== "send" && one.parked === null).length;
  return [messages > 0 ? t("waiting", { count: messages }) : "", changes > 0 ? t("waitingChanges", { count: changes }) : ""].filter(Boolean).join(" ");
}

/** Whether a state that usually passes by itself has lasted. The others count at once. */
function useHeld(connection: ConnectionState | undefined): boolean {
  const passes = connection === undefined || connection.state === "connecting" || connection.state === "connected";
  const isFine = connection?.state === "connected" && connection.caughtUp;
  const [held, setHeld] = useState(false);
  useEffect(() => {
    if (!passes || isFine) {
      setHeld(false);
      return;
    }
    const timer = setTimeout(() => setHeld(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [passes, isFine]);
  return !passes || (held && !isFine);
}

/** Seconds until the next try. */
function useCountdown(connection: ConnectionState | undefined): number {
  const [seconds, setSeconds] = useState(0);
  useEffect(() => {
    if (connection?.state !== "waiting") return;
    const until = performance.now() + connection.inMs;
    const count = () => setSeconds(Math.max(0, Math.ceil((until - performance.now()) / 1000)));
    count();
    const timer = setInterval(count, 500);
    return () => clearInterval(timer);
  }, [connection]);
  return seconds;
}
