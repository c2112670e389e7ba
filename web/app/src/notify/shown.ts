import type { Conversation } from "@tertulia/client";
import { dataOf } from "../worker/push";

/** Whether a notification tells nothing that is still to be read. `isAll`: a conversation that is not among these is none of this person's any more. */
export function isOver(
  { conversationId, seq }: { conversationId: string | null; seq: number | null },
  conversations: readonly Conversation[],
  isAll: boolean,
): boolean {
  const conversation = conversations.find((one) => one.id === conversationId);
  if (conversation === undefined || conversation.isLeft) return isAll && conversationId !== null;
  if (seq === null) return conversation.unread === 0;
  // What was not read may have been deleted. Where it is not here yet, nothing is unread either.
  return conversation.readSeq >= seq || (conversation.unread === 0 && conversation.lastSeq >= seq);
}

/** What was read in the app need not be told any more, nor what is no longer theirs to read. */
export async function closeRead(conversations: readonly Conversation[], isAll: boolean): Promise<void> {
  const registration = await navigator.serviceWorker?.getRegistration();
  const shown = (await registration?.getNotifications?.()) ?? [];
  for (const notification of shown) if (isOver(dataOf(notification), conversations, isAll)) notification.close();
}

/** On the icon of the installed app. */
export function showBadge(unread: number): void {
  if ("setAppBadge" in navigator) void (unread > 0 ? navigator.setAppBadge(unread) : navigator.clearAppBadge()).catch(() => {});
}
