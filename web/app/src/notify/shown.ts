import type { Conversation } from "@tertulia/client";
import { dataOf } from "../worker/push";

/** Whether a notification tells nothing that is still to be read. */
export function isRead({ conversationId, seq }: { conversationId: string | null; seq: number | null }, conversations: readonly Conversation[]): boolean {
  const conversation = conversations.find((one) => one.id === conversationId);
  return conversation !== undefined && (seq === null ? conversation.unread === 0 : conversation.readSeq >= seq);
}

/** What was read in the app need not be told any more. */
export async function closeRead(conversations: readonly Conversation[]): Promise<void> {
  const registration = await navigator.serviceWorker?.getRegistration();
  const shown = (await registration?.getNotifications?.()) ?? [];
  for (const notification of shown) if (isRead(dataOf(notification), conversations)) notification.close();
}

/** On the icon of the installed app. */
export function showBadge(unread: number): void {
  if ("setAppBadge" in navigator) void (unread > 0 ? navigator.setAppBadge(unread) : navigator.clearAppBadge()).catch(() => {});
}
