import { useOutbox, useTertulia } from "@tertulia/react";
import { useText } from "../i18n/useText";
import { endNotifying } from "../notify/device";
import { setPreferences } from "../shell/preferences";
import { navigate } from "../shell/router";
import { Icon } from "../ui/Icon";
import { Confirm } from "../ui/Dialog";
import { useAction } from "../ui/useAction";

export function LogOut({ open, onClose }: { open: boolean; onClose(): void }) {
  const client = useTertulia();
  const { t } = useText();
  const { run, busy } = useAction();
  const waiting = useOutbox().filter((one) => one.op.op === "send").length;
  async function logOut() {
    if (!(await run(() => endNotifying(client).then(() => client.logOut())))) return;
    setPreferences({ recentEmoji: [] });
    onClose();
    navigate({ at: "home" }, { replace: true });
  }
  return (
    <Confirm open={open} onClose={onClose} onConfirm={() => void logOut()} busy={busy} title={t("logOutTitle")} text={t("logOutText")} action={t("logOut")}>
      {waiting > 0 && (
        <p className="mb-4 flex items-start gap-2.5 rounded-xl bg-notice px-3.5 py-2.5 text-on-notice">
          <Icon name="warning" size={18} className="mt-0.5" />
          {t("logOutWaiting", { count: waiting })}
        </p>
      )}
    </Confirm>
  );
}
