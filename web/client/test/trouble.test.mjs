// What goes wrong in browsers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Person, bodiesOf, logOf, openDm, pair, startBrowser, startSite } from './harness.mjs';

await startBrowser();
const site = await startSite();

const stored = (page, wanted) => page.evaluate((wanted) => until(chat.storage, (now) => now.isDurable === wanted, 'storage'), wanted);

test('where there are no files it works in memory, and says so', async () => {
  const { alice, bob, a, b, dm } = await pair(site, { path: '/?memory' });
  assert.equal((await stored(a, false)).isDurable, false);
  await a.evaluate((dm) => chat.send(dm, 'From nowhere'), dm);
  assert.deepEqual(await bodiesOf(b, dm, 1), ['From nowhere']);
  assert.equal(await a.evaluate(() => everyByte()), '');
  await alice.end();
  await bob.end();
});

test('a worker that panics is started again, and nothing is lost', async () => {
  const { alice, bob, a, b, dm } = await pair(site);
  await stored(a, true);
  await bodiesOf(a, dm, 0);
  for (const round of [1, 2]) {
    const [worker] = a.workers();
    await worker.evaluate(() => {
      // The clock of a module that takes the time for a number that can't be.
      Date.now = () => -1;
    });
    await a.evaluate(([dm, round]) => chat.send(dm, `through the panic ${round}`), [dm, round]);
    assert.equal((await bodiesOf(a, dm, round)).at(-1), `through the panic ${round}`);
  }
  assert.ok(alice.log.some((line) => line.includes('panicked at')), alice.log.join('\n'));
  assert.deepEqual(await bodiesOf(b, dm, 2), ['through the panic 1', 'through the panic 2']);
  assert.deepEqual(await logOf(a, dm), ['through the panic 1', 'through the panic 2']);
  await alice.end();
  await bob.end();
});

test('a database that can not be read is given up, and everything comes again from the server', async () => {
  const { alice, bob, a, b, dm } = await pair(site);
  await b.evaluate((dm) => chat.send(dm, 'On the server'), dm);
  assert.deepEqual(await bodiesOf(a, dm, 1), ['On the server']);
  await a.evaluate(() => chat.close());
  await a.evaluate(async () => {
    const source = `
      async function spoil(folder) {
        for await (const entry of folder.values()) {
          if (entry.kind === 'directory') await spoil(entry);
          else {
            const handle = await entry.createSyncAccessHandle();
            // Beyond the pool's own page, which names the file.
            if (handle.getSize() > 8192) handle.write(new Uint8Array(handle.getSize() - 4096).fill(0x5a), { at: 4096 });
            handle.close();
          }
        }
      }
      navigator.storage.getDirectory().then(spoil).then(() => postMessage(null), (error) => postMessage(String(error)));`;
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
    const failed = await new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data)));
    worker.terminate();
    if (failed !== null) throw new Error(failed);
  });
  await a.reload();
  await alice.ready(a);
  await a.evaluate(() => chat.connect());
  assert.deepEqual(await bodiesOf(a, dm, 1), ['On the server']);
  assert.ok(alice.log.some((line) => line.includes('the local database is given up')), alice.log.join('\n'));
  await alice.end();
  await bob.end();
});

test('a page that comes back from the cache of pages goes on', async () => {
  const { alice, bob, a, b, dm } = await pair(site);
  await a.evaluate(() => {
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
  });
  const late = a.evaluate((dm) => chat.send(dm, 'asked for while asleep'), dm);
  await a.evaluate(() => {
    dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));
  });
  await late;
  assert.deepEqual(await bodiesOf(b, dm, 1), ['asked for while asleep']);
  await alice.end();
  await bob.end();
});

test('an address that is none is refused', async () => {
  const alice = await Person.begin(site, 'Alice');
  const page = await alice.tab({ options: { server: 'nonsense' } });
  assert.equal((await page.evaluate(() => refusal(chat.connect()))).code, 'invalid');
  await alice.end();
});
