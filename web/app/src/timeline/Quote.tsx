import type { ConversationId, Message, MessageRef } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useEffect, useState } from "react";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { tintOf } from "../ui/people";
import { useActions } from "./actions";

/** The message answered to, asked for once it is on the screen. A press leads there. */
export function Quote({ conversationId, reply, isMine }: { conversationId: ConversationId; reply: MessageRef; isMine: boolean }) {
  const original = useMessage(conversationId, reply);
  const { t } = useText();
  const me = useMe();
  const { jumpTo } = useActions();
  if (original === undefined) return <div className="mb-1.5 h-11 w-44 max-w-full rounded-lg bg-hover opacity-60" />;
  if (original === null) return <p className="mb-1.5 rounded-lg border-s-[3px] border-line-strong bg-ink/5 px-2.5 py-1.5 text-sm text-soft italic">{t("originalGone")}</p>;
  return (
    <button
      type="button"
      tabIndex={-1}
      onClick={() => jumpTo(reply)}
      className={`name-${tintOf(original.senderId)} mb-1.5 block w-full min-w-0 rounded-lg border-s-[3px] border-current px-2.5 py-1.5 text-start text-sm transition-colors ${isMine ? "bg-ink/6 hover:bg-ink/10" : "bg-ink/5 hover:bg-ink/9"}`}
    >
      <span className="block truncate font-semibold"><bdi>{original.senderId === me.id ? t("you") : original.senderName}</bdi></span>
      <span className="line-clamp-2 break-words text-soft"><bdi>{original.deletedAt === null ? original.body : t("deletedPreview")}</bdi></span>
    </button>
  );
}

function useMessage(conversationId: ConversationId, ref: MessageRef): Message | null | undefined {
  const client = useTertulia();
  const key = "id" in ref ? ref.id : ref.name;
  const [known, setKnown] = useState<{ key: string; message: Message | null }>();
  useEffect(() => {
    let over = false;
    const take = (message: Message | null) => !over && setKnown({ key, message });
    client.message(conversationId, ref).then(take, () => take(null));
    return () => {
      over = true;
    };
    // `key` stands for `ref`, which is a new object each time.
  }, [client, conversationId, key]);
  return known?.key === key ? known.message : undefined;
}
