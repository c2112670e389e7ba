// Who writes and who is there: signs that pass.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertKeys, assertTime, startServer } from './harness.mjs';

const EXPIRY_MS = 120_000;
const server = await startServer({ TERTULIA_LIMITS__TYPING_EXPIRY_MS: String(EXPIRY_MS) });
const hasty = await startServer({ TERTULIA_LIMITS__TYPING_EXPIRY_MS: '300' });

test('typing arrives at the others and never at oneself', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const { id: conversationId } = await alice.dm(bob);
  const alicePhone = await alice.online(t);
  const aliceLaptop = await alice.online(t);
  const bobPhone = await bob.online(t);
  const bobWire = await bob.subscribed(t);

  assert.deepEqual(await alicePhone.do('typing:start', { conversationId }), {});
  const sign = { conversationId, userId: alice.id, userName: 'alice' };
  assert.deepEqual(await bobPhone.take('typing:start'), sign);
  assert.deepEqual(await bobWire.take('typing.start'), sign);

  assert.deepEqual(await alicePhone.do('typing:stop', { conversationId }), {});
  assert.deepEqual(await bobPhone.take('typing:stop', undefined, EXPIRY_MS / 2), sign, 'told at once, not when it expires');
  assert.deepEqual(await bobWire.take('typing.stop', undefined, EXPIRY_MS / 2), sign);

  await bob.api('POST', `/conversations/${conversationId}/typing`, { typing: true });
  for (const device of [alicePhone, aliceLaptop]) {
    assert.deepEqual(await device.take('typing:start'), { conversationId, userId: bob.id, userName: 'bob' });
    const own = device.events.filter((e) => e.name.startsWith('typing') && e.payload.userId === alice.id);
    assert.deepEqual(own, []);
  }
});

test('a stranger can neither see nor make anybody see that he types', async (t) => {
  const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
  const { id: conversationId } = await alice.dm(bob);
  const carolPhone = await carol.online(t);
  const error = await carolPhone.refused('typing:start', { conversationId });
  assert.equal(error.code, 'not_found');
});

test('typing expires by itself', async (t) => {
  const [alice, bob] = await hasty.people('alice', 'bob');
  const { id: conversationId } = await alice.dm(bob);
  const alicePhone = await alice.online(t);
  const bobPhone = await bob.online(t);
  await alicePhone.do('typing:start', { conversationId });
  const sign = { conversationId, userId: alice.id, userName: 'alice' };
  assert.deepEqual(await bobPhone.take('typing:start'), sign);
  assert.deepEqual(await bobPhone.take('typing:stop', undefined, EXPIRY_MS / 2), sign);
});

test('alice watches bob come and go', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  await alice.dm(bob);
  const phone = await alice.online(t);
  const wire = await alice.subscribed(t);

  for (const { presence } of [
    await phone.do('presence:watch', { userIds: [bob.id] }),
    await wire.do('presence.watch', { userIds: [bob.id] }),
  ]) {
    assert.equal(presence.length, 1);
    assertKeys(presence[0], ['userId', 'online', 'lastSeenAt']);
    assert.equal(presence[0].userId, bob.id);
    assert.equal(presence[0].online, false);
  }

  const bobPhone = await bob.online(t);
  for (const came of [await phone.take('presence:update'), await wire.take('presence.update')]) {
    assertKeys(came, ['userId', 'online', 'lastSeenAt']);
    assert.equal(came.userId, bob.id);
    assert.equal(came.online, true);
  }
  const { presence: [now] } = await phone.do('presence:watch', { userIds: [bob.id] });
  assert.equal(now.online, true);

  bobPhone.socket.disconnect();
  for (const went of [
    await phone.take('presence:update', (p) => !p.online),
    await wire.take('presence.update', (p) => !p.online),
  ]) {
    assert.equal(went.userId, bob.id);
    assertTime(went.lastSeenAt);
  }
});

test('bob is there until his last device is gone', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const { id: conversationId } = await alice.dm(bob);
  const phone = await alice.online(t);
  const bobPhone = await bob.online(t);
  const bobWire = await bob.subscribed(t);
  await phone.do('presence:watch', { userIds: [bob.id] });

  bobPhone.socket.disconnect();
  await bobWire.do('message.send', { conversationId, clientMsgId: 'still-here', body: 'still here' });
  await phone.take('message:new');
  const { presence: [now] } = await phone.do('presence:watch', { userIds: [bob.id] });
  assert.equal(now.online, true);
  bobWire.ws.close();
  await phone.take('presence:update', (p) => !p.online);
  assert.equal(phone.all('presence:update').length, 1);
});
