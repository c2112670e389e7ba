// The server dies in the middle of it all and comes back on the same data.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { startServer, within } from './harness.mjs';

const RECONNECT = { reconnectionDelay: 50, reconnectionDelayMax: 250, randomizationFactor: 0 };

test('after kill -9 a client comes back by itself, resends, and each message is there once', async (t) => {
  const server = await startServer();
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  const phone = await alice.online(t, { ...RECONNECT, retries: 100, ackTimeout: 2000 });
  const bobPhone = await bob.online(t, RECONNECT);
  const { cursor } = await bob.sync();

  const bodies = Array.from({ length: 40 }, (_, i) => `message ${i + 1}`);
  const sends = Promise.all(bodies.map((body) => phone.socket.emitWithAck(
    'message:send', { conversationId: dm.id, clientMsgId: randomUUID(), body },
  )));
  const early = [];
  for (let i = 0; i < 10; i++) early.push(await phone.take('message:ack'));
  await server.kill();
  await phone.take('disconnect');
  await server.restart();

  const acks = await within(sends, 'all acknowledgements after the restart', 60_000);
  await phone.take('connect');
  assert.deepEqual(acks.map((ack) => ack.seq), bodies.map((_, i) => i + 1));
  assert.deepEqual(acks.slice(0, 10), early, 'what was acknowledged before the crash stands');
  const log = await bob.history(dm);
  assert.deepEqual(log.map((m) => m.body), bodies);
  assert.deepEqual(log.map((m) => m.messageId), acks.map((ack) => ack.messageId));

  await bobPhone.take('connect');
  await bobPhone.do('sync:request', { cursor });
  const { conversations: [told], reset } = await bobPhone.take('sync:batch');
  assert.equal(reset, undefined, 'a crash is no new epoch');
  assert.deepEqual(told.messages.map((m) => m.body), bodies);
});

test('whatever was acknowledged before kill -9 is in the log, and what is sent again takes its old place', async (t) => {
  const server = await startServer();
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  const phone = await alice.online(t, RECONNECT);
  const frames = Array.from({ length: 500 }, (_, i) => ({ conversationId: dm.id, clientMsgId: `m${i}`, body: `message ${i}` }));

  const acked = new Map();
  const hundred = new Promise((done) => {
    phone.socket.on('message:ack', (ack) => {
      acked.set(ack.clientMsgId, ack);
      if (acked.size === 100) done();
    });
  });
  for (const frame of frames) phone.socket.emit('message:send', frame);
  await within(hundred, () => `100 acknowledgements; so far ${acked.size}`);
  await server.kill();
  await phone.take('disconnect');
  const before = new Map(acked);

  await server.restart();
  await phone.take('connect');
  const kept = await alice.history(dm);
  for (const ack of before.values()) {
    const found = kept[ack.seq - 1];
    assert.equal(found?.messageId, ack.messageId, `${ack.clientMsgId} was acknowledged and must be in the log`);
    assert.equal(found.clientMsgId, ack.clientMsgId);
  }
  const again = await Promise.all(frames.map((frame) => phone.do('message:send', frame)));
  assert.deepEqual(again.map((ack) => ack.seq), frames.map((_, i) => i + 1));
  for (const ack of before.values()) assert.deepEqual(again[ack.seq - 1], ack);
  assert.deepEqual((await bob.history(dm)).map((m) => m.body), frames.map((f) => f.body));
});

test('a server that is told to stop says so, and clients come back by themselves', async (t) => {
  const server = await startServer();
  const [alice] = await server.people('alice');
  const phone = await alice.online(t, RECONNECT);
  const wire = await alice.subscribed(t);
  await server.end();
  assert.equal((await wire.take('close')).code, 1012);
  assert.notEqual(await phone.take('disconnect'), 'io server disconnect', 'after which a client would stay away');
  await server.restart();
  await phone.take('connect');
});
