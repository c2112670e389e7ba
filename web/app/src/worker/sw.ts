// The service worker: keeps the app's files for when there is no network, and notifies while no page is open.

import { clientsClaim } from "workbox-core";
import { cleanupOutdatedCaches, createHandlerBoundToURL, precacheAndRoute, type PrecacheEntry } from "workbox-precaching";
import { NavigationRoute, registerRoute } from "workbox-routing";
import { onClick } from "./click";
import { openKept } from "./kept";
import { onPush } from "./push";
import { onSubscriptionChange } from "./renewal";
import { deliver, SYNC, tryLater } from "./replies";
import type { Scope } from "./scope";

// The build looks for this name, and puts the list of the app's files in its place.
declare const self: Scope & { __WB_MANIFEST: PrecacheEntry[] };

precacheAndRoute(self.__WB_MANIFEST);
cleanupOutdatedCaches();
registerRoute(new NavigationRoute(createHandlerBoundToURL("/index.html"), { denylist: [/^\/(api|auth|docs|health|messages|metrics|socket\.io)(\/|$|\?)/] }));
// The first page is served by it too, so that what it loads later is there without a network.
clientsClaim();

const kept = openKept();

self.addEventListener("message", ({ data }) => {
  // Said by the page once the person wants the new version.
  if ((data as { type?: unknown } | null)?.type === "SKIP_WAITING") void self.skipWaiting();
});

/** What an earlier try could not send. */
async function sendWaiting(): Promise<void> {
  if (!(await deliver(self, kept).catch(() => false))) await tryLater(self);
}

self.addEventListener("push", (event) => {
  event.waitUntil(onPush(self, kept, event.data?.text() ?? null).then(sendWaiting));
});

self.addEventListener("notificationclick", (event) => event.waitUntil(onClick(self, kept, event)));

self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(onSubscriptionChange(self, kept, event)));

self.addEventListener("sync", (event) => {
  if (event.tag !== SYNC) return;
  // The browser tries again, later and later, what has failed.
  event.waitUntil(deliver(self, kept).then((isDone) => (isDone ? undefined : Promise.reject(new Error("not yet")))));
});
