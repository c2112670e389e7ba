// What needs the server at once.

import type { Rest } from "./api.js";
import type { Call, User } from "./generated/types.js";

const SEARCH_MAX = 50;

export function restOf(
  call: <T>(call: Call) => Promise<T>,
  signIn: (call: Call) => Promise<User>,
): Rest {
  const tell = (what: Call): Promise<void> => call<null>(what).then(() => {});
  return {
    login: (email, password) => signIn({ login: { email, password } }),
    register: (email, password, name) => signIn({ register: { email, password, name } }),
    me: () => call("me"),
    updateMe: (change) => call({ updateMe: change }),
    user: (user) => call({ user: { user } }),
    searchUsers: (email) => call({ searchUsers: { email } }),
    block: (user) => tell({ block: { user } }),
    unblock: (user) => tell({ unblock: { user } }),
    blocked: () => call("blocked"),
    sessions: () => call("sessions"),
    endSession: (id) => tell({ endSession: { id } }),
    openDm: (who) => call({ openDm: { who } }),
    createGroup: (title, members, historyVisibility = "joined") =>
      call({ createGroup: { title, members, historyVisibility } }),
    rename: (conversation, title) => tell({ rename: { conversation, title } }),
    hide: (conversation) => tell({ hide: { conversation } }),
    addMember: (conversation, who) => tell({ addMember: { conversation, who } }),
    setRole: (conversation, user, role) => tell({ setRole: { conversation, user, role } }),
    removeMember: (conversation, user, newOwner) =>
      tell({ removeMember: { conversation, user, newOwner: newOwner ?? null } }),
    pushOffer: () => call("pushOffer"),
    registerDevice: ({ token, showsContent, appVersion }) =>
      call({ registerDevice: { token, showsContent, appVersion: appVersion ?? null } }),
    unregisterDevice: (which) => tell({ unregisterDevice: { token: null, id: null, ...which } }),
    devices: () => call("devices"),
    testDevices: () => call("testDevices"),
    notificationSettings: () => call("notificationSettings"),
    setQuietHours: (hours) => call({ setQuietHours: { hours } }),
    searchMessages: (text, options) => {
      const args = { text, conversation: options?.conversation ?? null, limit: options?.limit ?? SEARCH_MAX };
      return call({ searchMessages: args });
    },
  };
}
