// What the service worker says to the windows of the app.

export type ToPage =
  /** Where are you? */
  | { t: "where" }
  /** Go there. */
  | { t: "open"; link: string }
  /** An answer typed into a notification, for the outbox. */
  | { t: "reply"; reply: Reply }
  /** A notification is shown. */
  | { t: "shown" };

/** What each is answered with, over the port that came with it. */
export interface Asked {
  /** `isLooking`: somebody has it before their eyes. */
  where: { conversationId: string | null; isLooking: boolean };
  open: true;
  /** Whether it is in the outbox. */
  reply: boolean;
  shown: never;
}

/** An answer typed into a notification, kept until the server or the outbox has it. */
export interface Reply {
  /** The message's `clientMsgId`, made once: whoever sends it, and how often, it is there once. */
  name: string;
  /** Whose it is: sent in nobody else's name. */
  account: string;
  conversationId: string;
  body: string;
  at: number;
  /** The server will not have it as it is; the app's outbox shows it and why. */
  isRefused: boolean;
}
