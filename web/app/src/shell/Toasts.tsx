import { useText } from "../i18n/useText";
import { Icon } from "../ui/Icon";
import { dismiss, useToasts } from "./toasts";

export function Toasts() {
  const toasts = useToasts();
  const { t } = useText();
  return (
    <div role="status" aria-live="polite" className="pointer-events-none fixed inset-x-0 bottom-24 z-[60] flex flex-col items-center gap-2 px-4">
      {toasts.map(({ id, text, kind }) => (
        <div key={id} className="animate-rise pointer-events-auto flex max-w-md items-center gap-3 rounded-2xl bg-ink py-2 ps-4 pe-2 text-ground shadow-high">
          <Icon name={kind === "done" ? "check" : "warning"} size={18} />
          <p className="min-w-0 flex-1 break-words">{text}</p>
          <button type="button" className="grid size-8 shrink-0 place-items-center rounded-full hover:bg-ground/15 focus-visible:outline-ground" aria-label={t("close")} onClick={() => dismiss(id)}>
            <Icon name="close" size={16} />
          </button>
        </div>
      ))}
    </div>
  );
}
