import type { NotifiedDevice, PushOffer, Tertulia } from "@tertulia/client";
import { useSyncExternalStore } from "react";
import { codeOf } from "../errors";
import { preferences, setPreferences } from "../shell/preferences";
import { openKept } from "../worker/kept";
import { abilityOf, thisBrowser } from "./platform";
import { standingOf, type Facts, type Standing } from "./standing";
import { subscribe } from "./subscription";

/** A service worker that does not get ready, as in development. */
const READY_MS = 10_000;
/** How long logging out waits for the server. */
const GOODBYE_MS = 3000;

interface State extends Facts {
  isDue: boolean;
}

const listeners = new Set<() => void>();
let state: State = { ability: abilityOf(thisBrowser()), permission: permissionNow(), offer: undefined, device: null, isDue: false };

function set(change: Partial<State>): void {
  state = { ...state, ...change };
  for (const listener of listeners) listener();
}

function permissionNow(): NotificationPermission {
  return "Notification" in window ? Notification.permission : "default";
}

export const kept = openKept();

export function useNotifying(): State & { standing: Standing } {
  const now = useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, () => state);
  return { ...now, standing: standingOf(now) };
}

/** The person has sent something, or looks at the settings: the moment to offer it. */
export function offerIsDue(): void {
  if (!state.isDue) set({ isDue: true });
}

/** Tells the server where this browser is notified, if it is to be: at each start and after each sign-in. What it has may be old or gone. */
export async function syncDevice(client: Tertulia): Promise<void> {
  const offer = await client.rest.pushOffer().catch((error: unknown) => {
    // A server that has none of it.
    if (codeOf(error) === "not_found") return null;
    throw error;
  });
  set({ offer, permission: permissionNow() });
  if (!preferences().isNotNotified && state.permission === "granted" && state.ability === "can") await register(client, offer);
}

/** To be called where somebody has just pressed something: browsers ask only then. Whether it is on now. */
export async function turnOn(client: Tertulia): Promise<boolean> {
  const permission = await Notification.requestPermission();
  set({ permission });
  if (permission !== "granted") return false;
  setPreferences({ isNotNotified: false });
  await register(client, state.offer);
  return state.device !== null;
}

export async function turnOff(client: Tertulia): Promise<void> {
  setPreferences({ isNotNotified: true });
  const { device } = state;
  await unsubscribe();
  set({ device: null });
  if (device !== null) await client.rest.unregisterDevice({ id: device.id }).catch(ifNotGone);
}

export async function setShowsContent(client: Tertulia, showsContent: boolean): Promise<void> {
  setPreferences({ hidesContent: !showsContent });
  // Also where the last registering failed: the server may have one from before.
  if (state.permission === "granted" && !preferences().isNotNotified) await register(client, state.offer ?? (await client.rest.pushOffer()));
}

/** Removes a registration, of this browser or another device. */
export async function removeDevice(client: Tertulia, id: string): Promise<void> {
  if (id === state.device?.id) await turnOff(client);
  else await client.rest.unregisterDevice({ id }).catch(ifNotGone);
}

/** Before logging out, as long as there is a session: nothing more comes here, and nothing of what came stays. */
export async function endNotifying(client: Tertulia): Promise<void> {
  const { device } = state;
  set({ device: null, isDue: false });
  const late = new Promise<void>((done) => setTimeout(done, GOODBYE_MS));
  const goodbye = device === null ? Promise.resolve() : client.rest.unregisterDevice({ id: device.id });
  // Without a network the subscription's end tells the server, with the next notification that it sends.
  await Promise.race([Promise.allSettled([goodbye, unsubscribe()]), late]);
  await kept.forget().catch(() => {});
  const shown = await navigator.serviceWorker?.getRegistration().then((registration) => registration?.getNotifications());
  for (const notification of shown ?? []) notification.close();
}

let registering: Promise<void> = Promise.resolve();

/** One after the other: a permission that has just been given is noticed by more than one. */
function register(client: Tertulia, offer: PushOffer | null | undefined): Promise<void> {
  const done = registering.then(() => registerNow(client, offer));
  registering = done.catch(() => {});
  return done;
}

async function registerNow(client: Tertulia, offer: PushOffer | null | undefined): Promise<void> {
  const key = offer?.vapidPublicKey;
  if (!key) return;
  const { pushManager } = await ready();
  const { token, replaced } = await subscribe(pushManager, key);
  const showsContent = !preferences().hidesContent;
  const device: NotifiedDevice = await client.rest.registerDevice({ token, showsContent });
  set({ device });
  await kept.learn({ deviceId: device.deviceId, showsContent, vapidPublicKey: key }).catch(() => {});
  if (replaced !== null) await client.rest.unregisterDevice({ token: replaced }).catch(ifNotGone);
}

async function unsubscribe(): Promise<void> {
  const registration = await navigator.serviceWorker?.getRegistration();
  const subscription = await registration?.pushManager?.getSubscription();
  await subscription?.unsubscribe();
}

function ready(): Promise<ServiceWorkerRegistration> {
  const late = new Promise<never>((_, fail) => setTimeout(() => fail(new Error("no service worker")), READY_MS));
  return Promise.race([navigator.serviceWorker.ready, late]);
}

function ifNotGone(error: unknown): void {
  if (codeOf(error) !== "not_found") throw error;
}

/** The permission may change outside of the app, in the browser's settings. */
export function watchPermission(changed: () => void): () => void {
  const end = new AbortController();
  navigator.permissions?.query({ name: "notifications" }).then((status) => {
    const look = () => {
      if (permissionNow() === state.permission) return;
      set({ permission: permissionNow(), ...(permissionNow() === "granted" ? {} : { device: null }) });
      changed();
    };
    status.addEventListener("change", look, { signal: end.signal });
  }, () => {});
  return () => end.abort();
}
