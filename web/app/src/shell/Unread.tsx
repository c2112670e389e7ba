import { useUnreadTotal } from "@tertulia/react";
import { useEffect } from "react";
import { useText } from "../i18n/useText";
import { showBadge } from "../notify/shown";

/** What is unread, in the tab's title and on the icon of the installed app. */
export function Unread() {
  const unread = useUnreadTotal();
  const { t } = useText();
  useEffect(() => {
    document.title = unread > 0 ? `(${unread}) ${t("appName")}` : t("appName");
    showBadge(unread);
  }, [unread, t]);
  useEffect(() => () => void (document.title = t("appName")), [t]);
  return null;
}
