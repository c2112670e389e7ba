import { tokenOf } from "../notify/subscription";
import type { Kept } from "./kept";
import type { Scope, SubscriptionChange } from "./scope";

/** The browser's push service has ended the subscription, or given another. Where this fails the next start of the app puts it right. */
export async function onSubscriptionChange(scope: Scope, kept: Kept, change: Pick<SubscriptionChange, "oldSubscription" | "newSubscription">): Promise<void> {
  const { account, deviceId, showsContent, vapidPublicKey } = await kept.known();
  if (account === null) return;
  const key = change.oldSubscription?.options.applicationServerKey ?? vapidPublicKey;
  if (key === null) return;
  const subscription = change.newSubscription ?? (await scope.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }));
  const device = { token: tokenOf(subscription), platform: "web", provider: "webpush", deviceId, showsContent };
  await post(scope, "register", device);
  if (change.oldSubscription) await post(scope, "unregister", { token: tokenOf(change.oldSubscription) });
}

async function post(scope: Scope, what: string, body: object): Promise<void> {
  await scope.fetch(`/api/v1/devices/${what}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}
