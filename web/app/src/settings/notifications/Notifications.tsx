import { useTertulia } from "@tertulia/react";
import { useEffect } from "react";
import { useText } from "../../i18n/useText";
import { offerIsDue, setShowsContent, turnOff, turnOn, useNotifying } from "../../notify/device";
import { thisBrowser, wayBackIn, type WayBack } from "../../notify/platform";
import { whyNotOn } from "../../notify/problem";
import type { Standing } from "../../notify/standing";
import type { Key } from "../../i18n/en";
import { usePreferences } from "../../shell/preferences";
import { toast } from "../../shell/toasts";
import { Switch } from "../../ui/Switch";
import { useAction } from "../../ui/useAction";
import { NotifiedDevices } from "./NotifiedDevices";
import { QuietHours } from "./QuietHours";

const waysBack: Record<WayBack, Key> = {
  applePhone: "notifyDeniedApple",
  safari: "notifyDeniedSafari",
  firefox: "notifyDeniedFirefox",
  chromium: "notifyDeniedChromium",
  other: "notifyDeniedOther",
};

export function Notifications() {
  const { t } = useText();
  const { standing, offer } = useNotifying();
  useEffect(offerIsDue, []);
  if (standing === "unknown") return <p className="text-soft">{t("notifyUnknown")}</p>;
  const hasAny = offer != null && offer.providers.length > 0;
  return (
    <div className="space-y-6">
      <Here standing={standing} />
      {hasAny && <QuietHours />}
      {hasAny && <NotifiedDevices />}
    </div>
  );
}

/** On this device. */
function Here({ standing }: { standing: Standing }) {
  const client = useTertulia();
  const { t } = useText();
  const { run, busy } = useAction();
  const { hidesContent } = usePreferences();
  const why = whyNot(standing);
  if (why !== null) return <p className="rounded-xl bg-sunken px-3.5 py-2.5 text-soft">{t(why)}</p>;
  const isOn = standing === "on";
  async function change(next: boolean) {
    if (!next) await run(() => turnOff(client));
    else await turnOn(client).catch((error: unknown) => toast(whyNotOn(error, t), "problem"));
  }
  return (
    <div>
      <Switch checked={isOn} disabled={busy} onChange={change} note={t("notifyHereText")}>{t("notifyHere")}</Switch>
      {isOn && (
        <Switch checked={!hidesContent} disabled={busy} onChange={(next) => run(() => setShowsContent(client, next))} note={t("notifyContentText")}>
          {t("notifyContent")}
        </Switch>
      )}
    </div>
  );
}

function whyNot(standing: Standing): Key | null {
  switch (standing) {
    case "unoffered":
      return "notifyUnoffered";
    case "cannot":
      return "notifyCannot";
    case "install":
      return "notifyInstall";
    case "denied":
      return waysBack[wayBackIn(thisBrowser())];
    default:
      return null;
  }
}
