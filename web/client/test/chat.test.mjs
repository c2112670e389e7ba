// One tab a person: what the client promises, in a browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Person, bodiesOf, logOf, openDm, pair, startBrowser, startSite } from './harness.mjs';

await startBrowser();
const site = await startSite();

test('two people in two browsers write to each other', async () => {
  const { alice, bob, a, b, dm } = await pair(site);
  await a.evaluate((dm) => chat.send(dm, 'Hello, Bob'), dm);
  assert.deepEqual(await bodiesOf(b, dm, 1), ['Hello, Bob']);
  await b.evaluate((dm) => chat.send(dm, 'Hello, Alice'), dm);
  assert.deepEqual(await bodiesOf(a, dm, 2), ['Hello, Bob', 'Hello, Alice']);
  await b.evaluate((dm) => chat.markRead(dm), dm);
  await a.evaluate((dm) => {
    const read = (view) => view.messages[0].status?.state === 'read';
    return until(lines.get(dm), read, 'the receipt').then(() => {});
  }, dm);
  await alice.end();
  await bob.end();
});

test('what is written without a network shows at once and is delivered later', async () => {
  const { alice, bob, a, b, dm } = await pair(site);
  await alice.context.setOffline(true);
  await a.evaluate(() => until(chat.connection, (now) => now.state === 'offline', 'being offline').then(() => {}));
  await a.evaluate((dm) => chat.send(dm, 'From the tunnel'), dm);
  assert.deepEqual(await bodiesOf(a, dm, 1), ['From the tunnel']);
  const waiting = await a.evaluate(() => until(chat.outbox, (all) => all.length === 1, 'the outbox'));
  assert.deepEqual(waiting[0].op, { op: 'send' });
  assert.equal(waiting[0].parked, null);
  await alice.context.setOffline(false);
  assert.deepEqual(await bodiesOf(b, dm, 1), ['From the tunnel']);
  await a.evaluate(() => until(chat.outbox, (all) => all.length === 0, 'an empty outbox').then(() => {}));
  await alice.end();
  await bob.end();
});

test('a message that is given its name may be sent by several ways and is there once', async () => {
  const { alice, bob, a, b, dm } = await pair(site);
  const name = '01890a5d-ac96-774b-bcce-b302099a8057';
  const sent = await a.evaluate(async ([dm, name]) => {
    const path = `/api/v1/conversations/${dm}/messages`;
    const headers = { 'Content-Type': 'application/json' };
    await fetch(path, { method: 'POST', headers, body: JSON.stringify({ clientMsgId: name, body: 'By REST' }) });
    return [await chat.send(dm, 'By REST', { name }), await chat.send(dm, 'By REST', { name })];
  }, [dm, name]);
  assert.deepEqual(sent, [name, name]);
  await a.evaluate((dm) => chat.send(dm, 'And another'), dm);
  assert.deepEqual(await bodiesOf(b, dm, 2), ['By REST', 'And another']);
  assert.deepEqual(await bodiesOf(a, dm, 2), ['By REST', 'And another']);
  await alice.end();
  await bob.end();
});

test('the data on a device have a name, until the person logs out', async () => {
  const { alice, bob, a } = await pair(site);
  const first = await a.evaluate(() => chat.deviceId());
  assert.match(first, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  await a.reload();
  await alice.ready(a);
  assert.equal(await a.evaluate(() => chat.deviceId()), first);
  await a.evaluate(() => chat.logOut());
  assert.notEqual(await a.evaluate(() => chat.deviceId()), first);
  await alice.end();
  await bob.end();
});

test('a page that is loaded again right after sending has the message, and it goes out once', async () => {
  const { alice, bob, a, b, dm } = await pair(site);
  site.cut();
  await a.evaluate((dm) => chat.send(dm, 'Before the reload'), dm);
  await a.reload();
  await alice.ready(a);
  assert.deepEqual(await bodiesOf(a, dm, 1), ['Before the reload']);
  assert.equal(await a.evaluate(() => until(chat.account, (me) => me !== null).then((me) => me.name)), 'Alice');
  site.mend();
  await a.evaluate(() => chat.connect());
  assert.deepEqual(await bodiesOf(b, dm, 1), ['Before the reload']);
  await alice.caughtUp(a);
  // And once more with a network, the acknowledgement perhaps under way.
  await a.evaluate((dm) => chat.send(dm, 'With a network'), dm);
  await a.reload();
  await alice.ready(a);
  await a.evaluate(() => chat.connect());
  assert.deepEqual(await bodiesOf(b, dm, 2), ['Before the reload', 'With a network']);
  await a.evaluate(() => until(chat.outbox, (all) => all.length === 0, 'an empty outbox').then(() => {}));
  assert.deepEqual(await logOf(b, dm), ['Before the reload', 'With a network']);
  await alice.end();
  await bob.end();
});

test('a server that is killed loses nothing', async () => {
  const { alice, bob, a, b, dm } = await pair(site);
  const bodies = await a.evaluate(async (dm) => {
    const written = [];
    window.writing = (async () => {
      for (let n = 0; n < 60; n++) {
        await chat.send(dm, `line ${n}`);
        written.push(`line ${n}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return written;
    })();
    return null;
  }, dm).then(async () => {
    await bodiesOf(b, dm, 5);
    await site.kill();
    await site.restart();
    return a.evaluate(() => window.writing);
  });
  await a.evaluate(() => until(chat.outbox, (all) => all.length === 0, 'an empty outbox').then(() => {}));
  assert.deepEqual(await logOf(a, dm), bodies);
  await bodiesOf(b, dm, 50);
  await alice.end();
  await bob.end();
});

test('what is refused says why, and changes nothing', async () => {
  const { alice, bob, a, dm } = await pair(site);
  const codes = await a.evaluate(async (dm) => [
    await refusal(chat.send(dm, '   ')),
    await refusal(chat.send(dm, 'x'.repeat(10_000))),
    await refusal(chat.send('01890a5d-ac96-774b-bcce-b302099a8057', 'nowhere')),
    await refusal(chat.send('not an id', 'nowhere')),
    await refusal(chat.retry(99)),
    await refusal(chat.rest.user('01890a5d-ac96-774b-bcce-b302099a8057')),
    await refusal(chat.rest.login('nobody@example.org', 'wrong password')),
  ], dm);
  assert.deepEqual(codes.map((told) => told.code), ['invalid', 'too_large', 'not_found', 'invalid', 'not_found', 'not_found', 'unauthenticated']);
  assert.ok(codes.every((told) => told.isOurs));
  site.cut();
  assert.equal((await a.evaluate(() => refusal(chat.rest.me()))).code, 'unreachable');
  site.mend();
  await alice.end();
  await bob.end();
});

test('what stays the same stays the same object', async () => {
  const { alice, bob, a, b, dm } = await pair(site);
  await a.evaluate((dm) => chat.send(dm, 'first'), dm);
  await bodiesOf(b, dm, 1);
  const kept = await b.evaluate(async (dm) => {
    const line = lines.get(dm);
    const before = line.get();
    const list = await until(chat.conversations, (all) => all.length === 1);
    await chat.react(dm, { id: before.messages[0].id }, '👍');
    await until(line, (view) => view.messages[0].reactions.length === 1, 'the reaction');
    await chat.send(dm, 'second');
    const changed = line.get().messages[0];
    const after = await until(line, (view) => view.messages.length === 2);
    return {
      reacted: before.messages[0] !== changed,
      kept: after.messages[0] === line.get().messages[0],
      snapshot: line.get() === line.get(),
      list: chat.conversations.get() !== undefined && list.length === 1,
      same: chat.conversation(dm) === chat.conversation(dm),
    };
  }, dm);
  assert.deepEqual(kept, { reacted: true, kept: true, snapshot: true, list: true, same: true });
  await alice.end();
  await bob.end();
});

test('a long conversation is shown page by page', async () => {
  const { alice, bob, a, b, dm } = await pair(site);
  const all = await a.evaluate(async (dm) => {
    const bodies = Array.from({ length: 130 }, (_, n) => `line ${n}`);
    for (const body of bodies) await chat.send(dm, body);
    await until(chat.outbox, (all) => all.length === 0, 'an empty outbox');
    return bodies;
  }, dm);
  const shown = await b.evaluate(async (dm) => {
    await until(chat.conversation(dm), (here) => here.lastSeq === 130, 'all of them');
    const line = chat.timeline(dm);
    const steps = [];
    steps.push((await until(line, (view) => view.messages.length >= 50)).hasOlder);
    const newest = line.get().messages.at(-1);
    await line.loadOlder();
    await until(line, (view) => view.messages.length >= 100, 'an older page');
    await line.loadOlder();
    const view = await until(line, (view) => view.messages.length === 130 && !view.hasOlder, 'all pages');
    steps.push(view.messages.at(-1) === newest, view.hasNewer);
    line.close();
    return { steps, bodies: bodies(view) };
  }, dm);
  assert.deepEqual(shown, { steps: [true, true, false], bodies: all });
  await alice.end();
  await bob.end();
});

test('somebody is seen to be there and to write', async () => {
  const { alice, bob, a, b, dm } = await pair(site);
  const [idOfA, idOfB] = await Promise.all([a, b].map((page) => page.evaluate(() => until(chat.account, (me) => me !== null).then((me) => me.id))));
  await a.evaluate((id) => until(chat.presence(id), (now) => now?.online === true, 'Bob').then(() => {}), idOfB);
  await b.evaluate((dm) => {
    window.seen = until(chat.typing(dm), (people) => people.length === 1, 'Alice writing');
  }, dm);
  await a.evaluate((dm) => chat.setTyping(dm, true), dm);
  assert.deepEqual(await b.evaluate(() => window.seen), [{ userId: idOfA, name: 'Alice' }]);
  await bob.end();
  await a.evaluate((id) => until(chat.presence(id), (now) => now?.online === false, 'Bob gone').then(() => {}), idOfB);
  await alice.end();
});

test('tokens are asked for where the page has no cookie', async () => {
  const alice = await Person.begin(site, 'Alice');
  const page = await alice.tab({ options: { token: 'of no use' } });
  await page.evaluate(() => chat.connect());
  await page.evaluate(() => until(chat.connection, (now) => now.state === 'signedOut', 'being signed out').then(() => {}));
  await page.evaluate(([email]) => chat.rest.register(email, 'correct horse battery', 'Alice'), [alice.email]);
  await alice.caughtUp(page);
  assert.deepEqual(await alice.context.cookies(), [], 'nobody has been given a cookie');
  await alice.end();
});

test('who has logged out leaves not a word behind', async () => {
  const { alice, bob, a, b, dm } = await pair(site);
  const word = 'Rhododendron';
  await b.evaluate(async ([dm, word]) => {
    for (let n = 0; n < 40; n++) await chat.send(dm, `${word} ${n}`);
  }, [dm, word]);
  await bodiesOf(a, dm, 40);
  await a.evaluate(([dm, word]) => chat.setDraft(dm, `${word}, my draft`), [dm, word]);
  assert.ok((await a.evaluate(() => everyByte())).includes(word), 'it was there');
  await a.evaluate(() => chat.logOut());
  const bytes = await a.evaluate(() => everyByte());
  assert.ok(bytes.length > 0 && !bytes.includes(word), 'not a word');
  assert.ok(!bytes.includes(alice.email));
  assert.equal(await a.evaluate(() => until(chat.account, (me) => me === null).then((me) => me)), null);
  assert.deepEqual(await alice.context.cookies(), [], 'the session is over');
  // Somebody else on the same device.
  const carol = await Person.begin(site, 'Carol');
  await a.evaluate(([email]) => chat.rest.register(email, 'correct horse battery', 'Carol'), [carol.email]);
  await alice.caughtUp(a);
  assert.equal(await a.evaluate(() => until(chat.account, (me) => me !== null).then((me) => me.name)), 'Carol');
  await alice.end();
  await bob.end();
  await carol.end();
});

test('who logs out without a network is not signed in again with it', async () => {
  const { alice, bob, a } = await pair(site);
  site.cut();
  await a.evaluate(() => chat.logOut());
  assert.equal((await alice.context.cookies()).length, 1, 'the browser still has it');
  site.mend();
  await a.reload();
  await alice.ready(a);
  await a.evaluate(() => chat.connect());
  await a.evaluate(() => until(chat.connection, (now) => now.state === 'signedOut', 'being signed out').then(() => {}));
  assert.deepEqual(await alice.context.cookies(), []);
  await alice.end();
  await bob.end();
});
