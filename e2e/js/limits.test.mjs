// The limits that the other tests switch off.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { assertProblem, startServer } from './harness.mjs';

const server = await startServer({ TERTULIA_RATE_LIMITS: 'on' });
const strict = await startServer({ TERTULIA_RATE_LIMITS: 'on', TERTULIA_LIMITS__FRAMES_PER_10S: '50' });

test('thirty sends in ten seconds are taken, the next one is told when to come again', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  const phone = await alice.online(t);
  const frame = () => ({ conversationId: dm.id, clientMsgId: randomUUID(), body: 'hello' });
  const frames = Array.from({ length: 30 }, frame);
  const acks = await Promise.all(frames.map((f) => phone.do('message:send', f)));
  assert.deepEqual(acks.map((ack) => ack.seq), frames.map((_, i) => i + 1));

  const error = await phone.refused('message:send', frame());
  assert.equal(error.code, 'rate_limited');
  assert.ok(error.retryAfterMs > 0 && error.retryAfterMs <= 10_000, `retryAfterMs ${error.retryAfterMs}`);
  const overRest = await alice.call('POST', `/conversations/${dm.id}/messages`, { clientMsgId: randomUUID(), body: 'hello' });
  assertProblem(overRest, 429, 'rate_limited');
  const seconds = Number(overRest.headers.get('retry-after'));
  assert.ok(seconds >= 1 && seconds <= 10, `Retry-After ${seconds}`);

  const bobPhone = await bob.online(t);
  assert.equal((await bobPhone.do('message:send', frame())).seq, 31, 'the limit is of one person');
});

test('a connection that floods is closed with 4429', async (t) => {
  const [alice] = await strict.people('alice');
  const wire = await alice.subscribed(t);
  for (let i = 0; i < 60; i++) wire.tell('ping');
  assert.equal((await wire.take('close')).code, 4429);
});

test('guessing a password is slowed down', async () => {
  const [alice] = await server.people('alice');
  const statuses = [];
  for (let i = 0; i < 21; i++) {
    const { status } = await server.request('POST', '/auth/login', { body: { email: alice.email, password: `guess number ${i}` } });
    statuses.push(status);
  }
  assert.equal(statuses.at(-1), 429);
  assert.equal(statuses[0], 401);
});
