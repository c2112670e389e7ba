import type { Message, MessageRef } from "@tertulia/client";
import { createContext, useContext } from "react";

/** What can be done with a message, from wherever: menu, keys, buttons. The same object as long as the conversation is on the screen: every row looks at it. */
export interface Actions {
  isLeft: boolean;
  nameOf(user: string): string;
  openMenu(message: Message, at: { x: number; y: number }): void;
  reply(message: Message): void;
  edit(message: Message): void;
  askDelete(message: Message): void;
  react(message: Message, emoji: string): void;
  pickReaction(message: Message): void;
  copy(message: Message): void;
  seenBy(message: Message): void;
  retry(entry: number): void;
  discard(entry: number): void;
  jumpTo(ref: MessageRef): void;
}

export const ActionsContext = createContext<Actions | null>(null);

export function useActions(): Actions {
  const actions = useContext(ActionsContext);
  if (actions === null) throw new Error("useActions: there is no conversation above");
  return actions;
}

/** How calls name it: by the log's id, or while it has none by its sender's. */
export function refOf(message: Message): MessageRef {
  return message.id === null ? { name: message.name } : { id: message.id };
}

export function can(message: Message, me: string, isLeft: boolean) {
  const isMine = message.senderId === me;
  const isThere = message.deletedAt === null && !isLeft;
  return {
    reply: isThere && message.status?.state !== "failed",
    react: isThere && message.id !== null,
    edit: isThere && isMine,
    delete: isThere && isMine,
    copy: message.deletedAt === null,
    seenBy: isMine && message.seq !== null,
  };
}
