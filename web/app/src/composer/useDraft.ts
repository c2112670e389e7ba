import type { Conversation } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useCallback, useEffect, useRef, useState } from "react";
import type { Mode } from "./mode";

const KEEP_MS = 400;

interface Draft {
  text: string;
  set(text: string): void;
  /** The text has become a message: with that the core has forgotten the draft already. */
  sent(): void;
}

/** The text of the field. That of a new message is kept as the conversation's draft; an edit puts it aside until it is over. */
export function useDraft(conversation: Conversation, mode: Mode): Draft {
  const client = useTertulia();
  const { id } = conversation;
  const [draft, setDraft] = useState(conversation.draft);
  const editing = mode?.kind === "edit" ? mode.message : null;
  const [edited, setEdited] = useState({ key: -1, text: "" });
  const timer = useRef<number | null>(null);
  const latest = useRef({ kept: conversation.draft, draft });
  latest.current.draft = draft;

  const keep = useCallback(() => {
    if (timer.current !== null) clearTimeout(timer.current);
    timer.current = null;
    if (latest.current.kept === latest.current.draft) return;
    latest.current.kept = latest.current.draft;
    void client.setDraft(id, latest.current.draft).catch(() => {});
  }, [client, id]);

  useEffect(() => {
    if (draft === "") keep();
    else timer.current ??= window.setTimeout(keep, KEEP_MS);
  }, [draft, keep]);
  useEffect(() => {
    addEventListener("pagehide", keep);
    return () => {
      removeEventListener("pagehide", keep);
      keep();
    };
  }, [keep]);

  if (editing !== null) {
    const text = edited.key === editing.key ? edited.text : editing.body;
    const set = (next: string) => setEdited({ key: editing.key, text: next });
    return { text, set, sent: () => set("") };
  }
  return {
    text: draft,
    set: setDraft,
    sent() {
      latest.current.kept = "";
      setDraft("");
    },
  };
}
