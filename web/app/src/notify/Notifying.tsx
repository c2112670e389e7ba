import { useConnection, useConversations, useTertulia } from "@tertulia/react";
import { useEffect, useRef } from "react";
import { explain } from "../errors";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { toast } from "../shell/toasts";
import type { ToPage } from "../worker/messages";
import { kept, syncDevice, watchPermission } from "./device";
import { takeReplies } from "./fromWorker";
import { closeRead, showBadge } from "./shown";

/** Keeps the server, the service worker and what is shown of notifications up to date as long as somebody is signed in. */
export function Notifying() {
  useRegistration();
  useReplies();
  useShown();
  return null;
}

function useRegistration(): void {
  const client = useTertulia();
  const { id } = useMe();
  const { language } = useText();
  // A session that has ended took the registration with it; so again after each sign-in, and not after each break of the network.
  const isConnected = useConnection()?.state === "connected";
  const isSignedOut = useConnection()?.state === "signedOut";
  const isSynced = useRef(false);
  useEffect(() => {
    void kept.learn({ account: id, language }).catch(() => {});
  }, [id, language]);
  useEffect(() => {
    if (isSignedOut) isSynced.current = false;
    if (!isConnected || isSynced.current) return;
    isSynced.current = true;
    // Without push service or network: with the next connection or start.
    syncDevice(client).catch((error: unknown) => {
      isSynced.current = false;
      console.warn(`notifications: ${String(error)}`);
    });
  }, [client, isConnected, isSignedOut]);
  useEffect(() => watchPermission(() => void syncDevice(client).catch(() => {})), [client]);
}

function useReplies(): void {
  const client = useTertulia();
  const { id } = useMe();
  const { t } = useText();
  // The conversations are here by then, so that a refusal is one.
  const isReady = useIsComplete();
  useEffect(() => {
    if (isReady) takeReplies(client, id, (error) => toast(explain(error, t), "problem")).catch(() => {});
  }, [client, id, isReady, t]);
}

/** All conversations are here, as of a moment ago. */
function useIsComplete(): boolean {
  const connection = useConnection();
  return connection?.state === "connected" && connection.caughtUp;
}

function useShown(): void {
  const client = useTertulia();
  const isComplete = useIsComplete();
  const conversations = useConversations();
  const places = conversations?.map((one) => `${one.id} ${one.readSeq}`).join();
  useEffect(() => {
    const look = (isAll: boolean) => {
      const known = client.conversations.get();
      // A second page hears that all is here before it hears what there is.
      if (known !== undefined) void closeRead(known, isAll).catch(() => {});
    };
    const onMessage = ({ data }: MessageEvent<ToPage>) => {
      if (data.t !== "shown") return;
      // It may tell of a conversation that is on its way: a page that slept believes for a while that it knows all.
      look(false);
      // The server counted before it knew what was read here.
      showBadge(client.unreadTotal.get() ?? 0);
    };
    look(isComplete);
    navigator.serviceWorker?.addEventListener("message", onMessage);
    return () => navigator.serviceWorker?.removeEventListener("message", onMessage);
  }, [client, isComplete, places]);
}
