// Measures; prints, and judges nothing.

import { test } from 'node:test';
import { bodiesOf, openDm, Person, startBrowser, startSite } from './harness.mjs';

const CONVERSATIONS = 200;
const SENDS = 200;
const TAKEOVERS = 20;
const STARTS = 20;

await startBrowser();
const site = await startSite();

function spread(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))].toFixed(1);
  return `p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, max ${at(1)} ms (${sorted.length})`;
}

/** Somebody with many conversations, all of what an app shows beside a conversation listened to. */
async function begin(isPrivate) {
  const [alice, bob] = [await Person.begin(site, 'Alice', { isPrivate }), await Person.begin(site, 'Bob')];
  const [a, b] = [await alice.tab(), await bob.tab()];
  await alice.register(a);
  await bob.register(b);
  await a.evaluate(async (count) => {
    for (let n = 1; n < count; n++) await chat.rest.createGroup(`Group ${n}`, []);
    await until(chat.conversations, (all) => all.length >= count - 1, 'all conversations');
  }, CONVERSATIONS);
  const dm = await openDm(a, bob.email);
  await b.evaluate((dm) => until(chat.conversation(dm), (here) => here !== null, 'the conversation').then(() => {}), dm);
  return { alice, bob, a, dm };
}

/** From the call until the list of messages is another. */
async function sends(page, dm) {
  await bodiesOf(page, dm, 0);
  return page.evaluate(async ([dm, count]) => {
    for (const beside of [chat.conversations, chat.unreadTotal, chat.outbox]) beside.subscribe(() => {});
    const line = lines.get(dm);
    const times = [];
    for (let n = 0; n < count; n++) {
      const begun = performance.now();
      const body = `measured ${begun}`;
      const shown = until(line, (view) => view.messages.some((message) => message.body === body));
      void chat.send(dm, body);
      await shown;
      times.push(performance.now() - begun);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return times;
  }, [dm, SENDS]);
}

async function offline(page) {
  site.cut();
  await page.evaluate(() => until(chat.connection, (now) => now.state !== 'connected', 'the end of the connection').then(() => {}));
}

async function starts(page, dm) {
  const times = [];
  for (let n = 0; n < STARTS; n++) {
    await page.reload();
    await page.waitForFunction(() => window.isReady);
    times.push(await page.evaluate(async (id) => {
      const begun = performance.now();
      window.chat = openTertulia();
      await until(chat.conversation(id), (here) => here !== null);
      return performance.now() - begun;
    }, dm));
  }
  return times;
}

async function takeovers(alice, leading, second, dm) {
  const gaps = [];
  let [leads, next] = [leading, second];
  for (let n = 0; n < TAKEOVERS; n++) {
    await next.evaluate((dm) => {
      window.gap = (async () => {
        let longest = 0;
        let last = performance.now();
        window.isOver = false;
        while (!isOver) {
          await chat.setDraft(dm, String(last));
          longest = Math.max(longest, performance.now() - last);
          last = performance.now();
        }
        return longest;
      })();
    }, dm);
    await leads.close();
    await next.evaluate((dm) => chat.send(dm, 'taken over'), dm);
    gaps.push(await next.evaluate(() => {
      window.isOver = true;
      return gap;
    }));
    leads = next;
    next = await alice.tab();
    await next.evaluate((dm) => chat.setDraft(dm, ''), dm);
  }
  return gaps;
}

test('figures', async (t) => {
  const { alice, bob, a, dm } = await begin(false);
  t.diagnostic(`openTertulia to a conversation from the database: ${spread(await starts(a, dm))}`);
  await a.evaluate(() => chat.connect());
  t.diagnostic(`send to list change, in the tab that leads: ${spread(await sends(a, dm))}`);
  const second = await alice.tab();
  await second.evaluate(() => chat.connect());
  await bodiesOf(second, dm, 1);
  t.diagnostic(`send to list change, in another tab: ${spread(await sends(second, dm))}`);
  await offline(a);
  t.diagnostic(`the same without a network, in the tab that leads: ${spread(await sends(a, dm))}`);
  t.diagnostic(`the same without a network, in another tab: ${spread(await sends(second, dm))}`);
  site.mend();
  t.diagnostic(`a tab that led is closed, the longest wait of another one: ${spread(await takeovers(alice, a, second, dm))}`);
  await alice.end();
  await bob.end();
});

test('figures of a private window', async (t) => {
  const { alice, bob, a, dm } = await begin(true);
  t.diagnostic(`send to list change: ${spread(await sends(a, dm))}`);
  await offline(a);
  t.diagnostic(`the same without a network: ${spread(await sends(a, dm))}`);
  site.mend();
  await alice.end();
  await bob.end();
});
