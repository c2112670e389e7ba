// What needs the server at once.

import type { Rest } from "./api.js";
import type { Call, User } from "./generated/types.js";

const SEARCH_MAX = 50;

export function restOf(
  call: <T>(call: Call) => Promise<T>,
  signIn: (call: Call & { method: "login" | "register" }) => Promise<User>,
): Rest {
  const tell = (what: Call): Promise<void> => call<null>(what).then(() => {});
  return {
    login: (email, password) => signIn({ method: "login", args: { email, password } }),
    register: (email, password, name) => signIn({ method: "register", args: { email, password, name } }),
    me: () => call({ method: "me" }),
    updateMe: (change) => call({ method: "updateMe", args: change }),
    user: (user) => call({ method: "user", args: { user } }),
    searchUsers: (email) => call({ method: "searchUsers", args: { email } }),
    block: (user) => tell({ method: "block", args: { user } }),
    unblock: (user) => tell({ method: "unblock", args: { user } }),
    blocked: () => call({ method: "blocked" }),
    sessions: () => call({ method: "sessions" }),
    endSession: (id) => tell({ method: "endSession", args: { id } }),
    openDm: (who) => call({ method: "openDm", args: { who } }),
    createGroup: (title, members, historyVisibility = "joined") =>
      call({ method: "createGroup", args: { title, members, historyVisibility } }),
    rename: (conversation, title) => tell({ method: "rename", args: { conversation, title } }),
    hide: (conversation) => tell({ method: "hide", args: { conversation } }),
    addMember: (conversation, who) => tell({ method: "addMember", args: { conversation, who } }),
    setRole: (conversation, user, role) => tell({ method: "setRole", args: { conversation, user, role } }),
    removeMember: (conversation, user, newOwner) =>
      tell({ method: "removeMember", args: { conversation, user, newOwner: newOwner ?? null } }),
    searchMessages: (text, options) => {
      const args = { text, conversation: options?.conversation ?? null, limit: options?.limit ?? SEARCH_MAX };
      return call({ method: "searchMessages", args });
    },
  };
}
