// Measures; prints, and judges nothing.

import { test } from 'node:test';
import { bodiesOf, pair, startBrowser, startSite } from './harness.mjs';

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

test('figures', async (t) => {
  const { alice, a, b, dm } = await pair(site);

  const starts = [];
  for (let n = 0; n < STARTS; n++) {
    await a.reload();
    await a.waitForFunction(() => window.isReady);
    starts.push(await a.evaluate(async (id) => {
      const begun = performance.now();
      window.chat = openTertulia();
      await until(chat.conversation(id), (here) => here !== null);
      return performance.now() - begun;
    }, dm));
  }
  t.diagnostic(`openTertulia to a conversation from the database: ${spread(starts)}`);

  await a.evaluate(() => chat.connect());
  await bodiesOf(a, dm, 0);
  const measure = (page, count) => page.evaluate(async ([dm, count]) => {
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
  }, [dm, count]);
  t.diagnostic(`send to list change, in the tab that leads: ${spread(await measure(a, SENDS))}`);

  const second = await alice.tab();
  await second.evaluate(() => chat.connect());
  await bodiesOf(second, dm, 1);
  t.diagnostic(`send to list change, in another tab: ${spread(await measure(second, SENDS))}`);
  await bodiesOf(b, dm, 1);

  const gaps = [];
  let [leads, next] = [a, second];
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
  t.diagnostic(`a tab that led is closed, the longest wait of another one: ${spread(gaps)}`);
});
