import { useUnreadTotal } from "@tertulia/react";
import { useEffect } from "react";
import { useText } from "../i18n/useText";

/** What is unread, in the tab's title and on the icon of the installed app. */
export function Unread() {
  const unread = useUnreadTotal();
  const { t } = useText();
  useEffect(() => {
    document.title = unread > 0 ? `(${unread}) ${t("appName")}` : t("appName");
    if ("setAppBadge" in navigator) void (unread > 0 ? navigator.setAppBadge(unread) : navigator.clearAppBadge()).catch(() => {});
  }, [unread, t]);
  useEffect(() => () => void (document.title = t("appName")), [t]);
  return null;
}
