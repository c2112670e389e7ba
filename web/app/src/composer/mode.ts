import type { Message } from "@tertulia/client";

/** What the field is for right now; null: a new message. */
export type Mode = { kind: "reply" | "edit"; message: Message } | null;
