// That it works in another engine: what can differ between browsers is the worker, its files, the locks and the connection.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Firefox } from './firefox.mjs';
import { startSite } from './harness.mjs';

const site = await startSite();
const firefox = await Firefox.start();

/** Opens the client as `chat`. */
async function ready(tab) {
  await tab.evaluate(async () => {
    while (!window.isReady) await new Promise(requestAnimationFrame);
    window.chat = openTertulia();
  });
}

async function begin(name) {
  const tab = await firefox.tab(await firefox.person(), site.url);
  await ready(tab);
  await tab.evaluate(async (name) => {
    await chat.rest.register(`${name}@example.org`, 'correct horse battery', name);
    await until(chat.connection, (now) => now.state === 'connected' && now.caughtUp, 'the connection');
  }, name);
  return tab;
}

const shows = (tab, dm, bodies) => tab.evaluate(async ([dm, wanted]) => {
  window.line ??= chat.timeline(dm);
  await until(line, (view) => JSON.stringify(view.messages.map((message) => message.body)) === JSON.stringify(wanted), wanted.join(', '));
}, [dm, bodies]);

test('two people chat in Firefox, and what is written without a network outlives the page', async (t) => {
  t.after(() => firefox.end());
  const [a, b] = [await begin('alice'), await begin('bob')];
  const dm = await a.evaluate(async () => {
    const dm = await chat.rest.openDm({ email: 'bob@example.org' });
    await until(chat.conversation(dm), (here) => here !== null, 'the conversation');
    await chat.send(dm, 'from Firefox');
    return dm;
  });
  assert.equal(await a.evaluate(async () => (await until(chat.storage, (now) => now !== undefined)).isDurable), true);
  await b.evaluate((dm) => until(chat.conversation(dm), (here) => here !== null, 'the conversation').then(() => {}), dm);
  await shows(b, dm, ['from Firefox']);
  site.cut();
  await a.evaluate(() => until(chat.connection, (now) => now.state !== 'connected', 'the end of the connection').then(() => {}));
  await a.evaluate((dm) => chat.send(dm, 'without a network'), dm);
  await shows(a, dm, ['from Firefox', 'without a network']);
  await a.reload();
  await ready(a);
  await shows(a, dm, ['from Firefox', 'without a network']);
  site.mend();
  await a.evaluate(() => chat.connect());
  await shows(b, dm, ['from Firefox', 'without a network']);
});
