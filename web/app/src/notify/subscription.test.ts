import { expect, test } from "vitest";
import { subscribe } from "./subscription";

/** As the browser keeps it: at most one, for one key. */
class PretendManager {
  present: { key: Uint8Array; endpoint: string } | null = null;
  made = 0;

  async getSubscription() {
    const { present } = this;
    if (present === null) return null;
    const keys = { auth: "a", p256dh: "p" };
    return {
      options: { applicationServerKey: present.key.buffer },
      toJSON: () => ({ endpoint: present.endpoint, expirationTime: null, keys }),
      unsubscribe: async () => {
        this.present = null;
        return true;
      },
    };
  }

  async subscribe({ applicationServerKey }: { applicationServerKey: Uint8Array }) {
    if (this.present !== null) throw new DOMException("another key", "InvalidStateError");
    this.present = { key: applicationServerKey, endpoint: `https://push.example/${++this.made}` };
    return this.getSubscription();
  }
}

const token = (number: number) => `{"endpoint":"https://push.example/${number}","keys":{"p256dh":"p","auth":"a"}}`;

test("the_subscription_that_there_is_stays_as_long_as_the_key_does", async () => {
  const manager = new PretendManager();
  const real = manager as unknown as PushManager;
  expect(await subscribe(real, "BAEC")).toEqual({ token: token(1), replaced: null });
  expect(await subscribe(real, "BAEC")).toEqual({ token: token(1), replaced: null });
  expect(await subscribe(real, "BAED")).toEqual({ token: token(2), replaced: token(1) });
  expect(manager.made).toBe(2);
});

test("keys_come_in_base64url", async () => {
  const manager = new PretendManager();
  await subscribe(manager as unknown as PushManager, "-_8=");
  expect([...(manager.present?.key ?? [])]).toEqual([0xfb, 0xff]);
});
