export { TertuliaProvider, useTertulia } from "./context.js";
export {
  useAccount, useConnection, useConversation, useConversations, useMembers, useOutbox, usePresence, useRefused, useStorage, useTyping,
  useUnreadTotal,
} from "./hooks.js";
export { useLive } from "./live.js";
export { useTimeline, type TimelineState } from "./timeline.js";
