/** What the server takes as the token of a browser: always the same text for the same subscription. */
export function tokenOf(subscription: Pick<PushSubscription, "toJSON">): string {
  const { endpoint, keys } = subscription.toJSON();
  return JSON.stringify({ endpoint, keys: { p256dh: keys?.["p256dh"], auth: keys?.["auth"] } });
}

export interface Subscribed {
  token: string;
  /** One for another key, which had to go. */
  replaced: string | null;
}

/** The subscription that there is where it is for this key of the server's, else another. */
export async function subscribe(manager: PushManager, key: string): Promise<Subscribed> {
  const wanted = bytesOf(key);
  let present = await manager.getSubscription();
  let replaced: string | null = null;
  if (present !== null && !isFor(present, wanted)) {
    replaced = tokenOf(present);
    await present.unsubscribe();
    present = null;
  }
  present ??= await manager.subscribe({ userVisibleOnly: true, applicationServerKey: wanted });
  return { token: tokenOf(present), replaced };
}

function isFor(subscription: PushSubscription, key: Uint8Array): boolean {
  const its = subscription.options.applicationServerKey;
  if (its === null) return false;
  const bytes = new Uint8Array(its);
  return bytes.length === key.length && bytes.every((byte, at) => byte === key[at]);
}

/** Of base64url (RFC 4648, section 5), padded or not. */
function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}
