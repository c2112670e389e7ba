import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Person, bodiesOf, openDm, startBrowser, startSite } from './harness.mjs';

await startBrowser();
const site = await startSite();

async function pair() {
  const [alice, bob] = [await Person.begin(site, 'Alice'), await Person.begin(site, 'Bob')];
  const [a, b] = [await alice.tab(), await bob.tab()];
  await alice.register(a);
  await bob.register(b);
  const dm = await openDm(a, bob.email);
  await b.evaluate((dm) => until(chat.conversation(dm), (here) => here !== null).then(() => {}), dm);
  return { alice, bob, a, b, dm };
}

test('two people in two browsers write to each other', async () => {
  const { alice, bob, a, b, dm } = await pair();
  await a.evaluate((dm) => chat.send(dm, 'Hello, Bob'), dm);
  assert.deepEqual(await bodiesOf(b, dm, 1), ['Hello, Bob']);
  await b.evaluate((dm) => chat.send(dm, 'Hello, Alice'), dm);
  assert.deepEqual(await bodiesOf(a, dm, 2), ['Hello, Bob', 'Hello, Alice']);
  await alice.end();
  await bob.end();
});
