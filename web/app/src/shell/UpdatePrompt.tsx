import { useText } from "../i18n/useText";
import { button } from "../ui/button";
import { useUpdate } from "./updates";

export function UpdatePrompt() {
  const { waiting, reload, later } = useUpdate();
  const { t } = useText();
  if (!waiting) return null;
  return (
    <div role="status" className="animate-rise fixed inset-x-4 bottom-4 z-[55] mx-auto flex max-w-md flex-wrap items-center gap-2 rounded-2xl border border-line bg-raised p-3 ps-5 shadow-high">
      <p className="me-auto font-medium">{t("newVersion")}</p>
      <button type="button" className={button("quiet")} onClick={later}>
        {t("later")}
      </button>
      <button type="button" className={button("primary")} onClick={reload}>
        {t("reload")}
      </button>
    </div>
  );
}
