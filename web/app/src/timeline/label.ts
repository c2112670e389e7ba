import type { Message } from "@tertulia/client";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";

const states = { pending: "statusPending", sent: "statusSent", delivered: "statusDelivered", read: "statusRead", failed: "statusFailed" } as const;

/** A message as it is read out. */
export function useLabel(message: Message): string {
  const { t, format } = useText();
  const me = useMe();
  const isMine = message.senderId === me.id;
  const body = message.deletedAt === null ? message.body : t(isMine ? "deletedByMe" : "deletedByOther");
  const said = t("saidBy", { name: isMine ? t("you") : message.senderName, body });
  const edited = message.editedAt !== null && message.deletedAt === null ? `, ${t("edited")}` : "";
  const status = message.status === null || message.deletedAt !== null ? "" : `, ${t(states[message.status.state])}`;
  return `${said}, ${format.clock(message.createdAt)}${edited}${status}`;
}
