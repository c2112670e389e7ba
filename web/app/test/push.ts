import type { CDPSession, Worker } from "playwright-core";
import { Device, eventually } from "./people.ts";

export interface Shown {
  title: string;
  body: string;
  tag: string;
  silent: boolean;
  renotify: boolean;
  link: string;
  actions: string[];
}

/** What TypeScript has no types for in the tests' surroundings, as it is in a service worker. */
interface WorkerScope {
  registration: ServiceWorkerRegistration;
  clients: { openWindow(address: string): Promise<unknown> };
  opened?: string[];
  dispatchEvent(event: Event): boolean;
  NotificationEvent: new (name: string, options: object) => Event;
}

/** The part of a browser that brings pushes to a page's service worker, and clicks on what it shows. */
export class PushLine {
  private constructor(
    private readonly device: Device,
    private readonly cdp: CDPSession,
    private readonly registrationId: string,
  ) {}

  /** Of the app that is open in the device's page. The line stays when that page shows something else. */
  static async of(device: Device): Promise<PushLine> {
    await device.page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
    await eventually("a page with a service worker", () => device.page.evaluate(() => navigator.serviceWorker.controller !== null));
    const cdp = await device.context.newCDPSession(device.page);
    const registered = new Promise<string>((done) => {
      cdp.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
        const own = registrations.find((one) => one.scopeURL === `${device.link.url}/` && !one.isDeleted);
        if (own !== undefined) done(own.registrationId);
      });
    });
    await cdp.send("ServiceWorker.enable");
    const line = new PushLine(device, cdp, await registered);
    // A click that no person made may neither open windows nor bring them forward; so that is noted here, at the browser's own functions.
    await line.worker().evaluate(() => {
      const scope = globalThis as unknown as WorkerScope;
      scope.opened = [];
      scope.clients.openWindow = async (address) => void scope.opened?.push(address);
    });
    return line;
  }

  worker(): Worker {
    const worker = this.device.context.serviceWorkers()[0];
    if (worker === undefined) throw new Error("no service worker");
    return worker;
  }

  /** As the browser does when its push service brings something; text goes as it is. */
  async deliver(payload: object | string): Promise<void> {
    const data = typeof payload === "string" ? payload : JSON.stringify(payload);
    await this.cdp.send("ServiceWorker.deliverPushMessage", { origin: this.device.link.url, registrationId: this.registrationId, data });
  }

  shown(): Promise<Shown[]> {
    return this.worker().evaluate(async () => {
      const scope = globalThis as unknown as WorkerScope;
      const all = (await scope.registration.getNotifications()) as (Notification & { renotify: boolean; actions: { action: string }[] })[];
      return all.map(({ title, body, tag, silent, renotify, data, actions }) => ({
        title, body, tag, renotify, silent: silent === true, link: (data as { link: string }).link, actions: actions.map((one) => one.action),
      }));
    });
  }

  async showsOne(tag: string, body: string): Promise<Shown> {
    let shown: Shown[] = [];
    const look = async () => {
      shown = await this.shown();
      return shown.find((one) => one.tag === tag && one.body === body);
    };
    return eventually(`a notification ${tag} that says ${body}`, look).catch((error: unknown) => {
      throw new Error(`${String(error)}; shown is ${JSON.stringify(shown)}`);
    });
  }

  /** What a click does, to its end: addresses of windows that were opened for it. */
  click(tag: string, how: { action?: string; reply?: string } = {}): Promise<string[]> {
    return this.worker().evaluate(async ({ tag, action = "", reply = null }) => {
      const scope = globalThis as unknown as WorkerScope;
      const [notification] = await scope.registration.getNotifications({ tag });
      if (notification === undefined) throw new Error(`no notification ${tag}`);
      const event = new scope.NotificationEvent("notificationclick", { notification, action, reply });
      const work: Promise<unknown>[] = [];
      // Those of scripts can't be waited for.
      Object.assign(event, { waitUntil: (promise: Promise<unknown>) => work.push(promise) });
      scope.dispatchEvent(event);
      await Promise.all(work);
      return scope.opened?.splice(0) ?? [];
    }, { tag, ...how });
  }

  /** The browser thinks that there is a network again. */
  async sync(tag: string): Promise<void> {
    await this.cdp.send("ServiceWorker.dispatchSyncEvent", { origin: this.device.link.url, registrationId: this.registrationId, tag, lastChance: false });
  }
}
