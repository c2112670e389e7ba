import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { iconButton } from "../ui/button";
import { Icon } from "../ui/Icon";
import type { Mode } from "./mode";

/** What is being answered or changed, and the way out of it. */
export function ModeLine({ mode, onCancel }: { mode: NonNullable<Mode>; onCancel(): void }) {
  const { t } = useText();
  const me = useMe();
  const { kind, message } = mode;
  const who = message.senderId === me.id ? t("you") : message.senderName;
  return (
    <div className="flex items-center gap-3 border-b border-line py-1.5 ps-4 pe-1.5">
      <Icon name={kind} size={18} className="text-accent" />
      <div className="min-w-0 flex-1 border-s-[3px] border-accent ps-3 text-sm">
        <p className="truncate font-semibold text-accent">{kind === "edit" ? t("editing") : t("replyingTo", { name: who })}</p>
        <span className="block truncate text-soft"><bdi>{message.body}</bdi></span>
      </div>
      <button type="button" className={`${iconButton} size-9`} aria-label={t(kind === "edit" ? "cancelEdit" : "cancelReply")} onClick={onCancel}>
        <Icon name="close" size={18} />
      </button>
    </div>
  );
}
