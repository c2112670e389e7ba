import { expect, test } from "vitest";
import { pretend, pretendKept } from "./pretend";
import { onSubscriptionChange } from "./renewal";
import type { Scope } from "./scope";

function subscription(endpoint: string): PushSubscription {
  const keys = { p256dh: "p", auth: "a" };
  return { endpoint, options: { applicationServerKey: new Uint8Array([4, 1]).buffer, userVisibleOnly: true }, toJSON: () => ({ endpoint, expirationTime: null, keys }) } as unknown as PushSubscription;
}

const token = (endpoint: string) => JSON.stringify({ endpoint, keys: { p256dh: "p", auth: "a" } });

function subscribing(scope: Scope, endpoint: string) {
  const wanted: PushSubscriptionOptionsInit[] = [];
  Object.assign(scope.registration, { pushManager: { subscribe: async (options: PushSubscriptionOptionsInit) => (wanted.push(options), subscription(endpoint)) } });
  return wanted;
}

test("a_subscription_that_ended_is_made_anew_and_registered", async () => {
  const { scope, asked } = pretend();
  const wanted = subscribing(scope, "https://push.example/new");
  const kept = pretendKept({ account: "ana", deviceId: "d1", showsContent: false, vapidPublicKey: "BKey" });
  await onSubscriptionChange(scope, kept, {});
  expect(wanted).toEqual([{ userVisibleOnly: true, applicationServerKey: "BKey" }]);
  expect(asked).toEqual([
    { path: "/api/v1/devices/register", body: { token: token("https://push.example/new"), platform: "web", provider: "webpush", deviceId: "d1", showsContent: false } },
  ]);
});

test("one_that_the_browser_made_itself_takes_the_place_of_the_old_one", async () => {
  const { scope, asked } = pretend();
  const change = { oldSubscription: subscription("https://push.example/old"), newSubscription: subscription("https://push.example/new") };
  await onSubscriptionChange(scope, pretendKept({ account: "ana" }), change);
  expect(asked.map(({ path, body }) => [path, (body as { token: string }).token])).toEqual([
    ["/api/v1/devices/register", token("https://push.example/new")],
    ["/api/v1/devices/unregister", token("https://push.example/old")],
  ]);
});

test("nobody_is_registered_who_has_logged_out", async () => {
  const { scope, asked } = pretend();
  await onSubscriptionChange(scope, pretendKept(), { newSubscription: subscription("https://push.example/new") });
  expect(asked).toEqual([]);
});
