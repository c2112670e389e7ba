import type {
  ConnectionState, Conversation, ConversationId, Member, Presence, Refused, Storage, Typist, User, UserId, Waiting,
} from "@tertulia/client";
import { useEffect, useRef } from "react";
import { useTertulia } from "./context.js";
import { useLive } from "./live.js";

export function useConnection(): ConnectionState | undefined {
  return useLive(useTertulia().connection);
}

/** Whose data are on this device. `undefined`: not known yet (show neither the app nor the sign-in); `null`: nobody has signed in. */
export function useAccount(): User | null | undefined {
  return useLive(useTertulia().account);
}

export function useConversations(): readonly Conversation[] | undefined {
  return useLive(useTertulia().conversations);
}

/** `null`: there is no such conversation for this person. */
export function useConversation(id: ConversationId | null): Conversation | null | undefined {
  const client = useTertulia();
  return useLive(id === null ? null : client.conversation(id));
}

export function useMembers(id: ConversationId | null): readonly Member[] | undefined {
  const client = useTertulia();
  return useLive(id === null ? null : client.members(id));
}

/** Who is writing right now; never oneself. */
export function useTyping(id: ConversationId | null): readonly Typist[] {
  const client = useTertulia();
  return useLive(id === null ? null : client.typing(id)) ?? nobody;
}

/** `null` or `undefined`: not known. Whoever is looked at is watched, so look only at who is on the screen. */
export function usePresence(user: UserId | null): Presence | null | undefined {
  const client = useTertulia();
  return useLive(user === null ? null : client.presence(user));
}

export function useUnreadTotal(): number {
  return useLive(useTertulia().unreadTotal) ?? 0;
}

/** What has not reached the log yet, oldest first. */
export function useOutbox(): readonly Waiting[] {
  return useLive(useTertulia().outbox) ?? nothing;
}

export function useStorage(): Storage | undefined {
  return useLive(useTertulia().storage);
}

/** Calls `listener` for each thing that came to nothing and was taken back. */
export function useRefused(listener: (what: Refused) => void): void {
  const client = useTertulia();
  const latest = useRef(listener);
  useEffect(() => {
    latest.current = listener;
  });
  useEffect(() => client.onRefused((what) => latest.current(what)), [client]);
}

const nobody: readonly Typist[] = [];
const nothing: readonly Waiting[] = [];
