import { useTertulia } from "@tertulia/react";
import { useState } from "react";
import { useText } from "../i18n/useText";
import { setPreferences, usePreferences } from "../shell/preferences";
import { toast } from "../shell/toasts";
import { button } from "../ui/button";
import { Icon } from "../ui/Icon";
import { turnOn, useNotifying } from "./device";
import { whyNotOn } from "./problem";
import { isOffered, PAUSE_MS } from "./standing";

/** Offers notifications once somebody has a use for them, and not again for a while. The browser itself asks only after a yes. */
export function OfferBanner() {
  const client = useTertulia();
  const { t } = useText();
  const [busy, setBusy] = useState(false);
  const { standing, isDue } = useNotifying();
  const { isNotNotified, askAgainAt } = usePreferences();
  if (!isOffered(standing, isDue, isNotNotified, askAgainAt, Date.now())) return null;
  const later = () => setPreferences({ askAgainAt: Date.now() + PAUSE_MS });
  function accept() {
    setBusy(true);
    turnOn(client)
      .then((isOn) => {
        if (isOn) toast(t("notifyOn"));
        // Whoever closed the browser's question without an answer has answered.
        else later();
      })
      .catch((error: unknown) => toast(whyNotOn(error, t), "problem"))
      .finally(() => setBusy(false));
  }
  return (
    <section aria-label={t("notifications")} data-testid="notify-offer" className="flex flex-wrap items-center justify-center gap-x-3 gap-y-1 border-b border-line bg-raised px-4 py-2 text-sm">
      <p className="flex min-w-0 items-start gap-2.5">
        <Icon name="bell" size={18} className="mt-px text-accent" />
        <span className="min-w-0">{t(standing === "install" ? "notifyInstall" : "notifyOffer")}</span>
      </p>
      <span className="flex gap-1">
        {standing === "off" && <button type="button" className={button("quiet")} disabled={busy} onClick={accept}>{t("notifyTurnOn")}</button>}
        <button type="button" className={button("quiet")} disabled={busy} onClick={later}>{t("notNow")}</button>
      </span>
    </section>
  );
}
