// Going away and coming back: the difference holds what changed, all of it and nothing else.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { assertKeys, MESSAGE_KEYS, startServer } from './harness.mjs';

const server = await startServer();

const DIFFERENCE_KEYS = ['cursor', 'epoch', 'hasMore', 'conversations', 'removed'];

test('bob comes back and gets exactly the difference', async (t) => {
  const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
  const dm = await alice.dm(bob);
  const quiet = await bob.dm(carol);
  await carol.send(quiet, 'good night');
  const old = [];
  for (const body of ['old one', 'old two', 'old three']) old.push(await alice.send(dm, body));

  const away = await bob.online(t);
  const { cursor, epoch, conversations } = await bob.sync();
  assert.deepEqual(conversations.map((c) => c.id).sort(), [dm.id, quiet.id].sort());
  away.socket.disconnect();

  const phone = await alice.online(t);
  const conversationId = dm.id;
  const fresh = [];
  for (let i = 1; i <= 10; i++) {
    fresh.push(await phone.do('message:send', { conversationId, clientMsgId: randomUUID(), body: `new ${i}` }));
  }
  await phone.do('message:edit', { conversationId, messageId: fresh[4].messageId, body: 'new 5, edited' });
  await phone.do('message:delete', { conversationId, messageId: fresh[6].messageId });
  await phone.do('message:react', { conversationId, messageId: old[1].messageId, emoji: '❤️' });
  await phone.do('message:edit', { conversationId, messageId: old[2].messageId, body: 'old three, first try' });
  const last = await phone.do('message:edit', { conversationId, messageId: old[2].messageId, body: 'old three, edited' });

  const back = await bob.online(t);
  assert.deepEqual(await back.do('sync:request', { cursor }), {});
  const batch = await back.take('sync:batch');
  assertKeys(batch, DIFFERENCE_KEYS);
  assert.equal(batch.epoch, epoch);
  assert.equal(batch.hasMore, false);
  assert.deepEqual(batch.removed, []);
  assert.equal(batch.conversations.length, 1, 'the quiet conversation is not told again');
  const [told] = batch.conversations;
  assert.equal(told.id, dm.id);
  assert.equal(told.rev, last.rev);
  assert.equal(told.lastSeq, 13);
  assert.equal(told.unreadCount, 12, '13 messages that bob has not read, less the deleted one');
  assert.equal('holeBefore' in told, false);
  assert.deepEqual(told.members.map((m) => m.userId), [alice.id], "alice's own watermark moved, nobody else's");
  assert.equal(told.members[0].readSeq, 13);
  for (const message of told.messages) assertKeys(message, MESSAGE_KEYS);
  assert.deepEqual(
    told.messages.map((m) => [m.seq, m.body, m.editedAt !== null, m.deletedAt !== null, m.reactions]),
    [
      [2, 'old two', false, false, [{ emoji: '❤️', userIds: [alice.id] }]],
      [3, 'old three, edited', true, false, []],
      ...[1, 2, 3, 4].map((i) => [3 + i, `new ${i}`, false, false, []]),
      [8, 'new 5, edited', true, false, []],
      [9, 'new 6', false, false, []],
      [10, '', false, true, []],
      ...[8, 9, 10].map((i) => [3 + i, `new ${i}`, false, false, []]),
    ],
  );

  const { cursor: _, ...overRest } = await bob.api('GET', `/sync?cursor=${encodeURIComponent(cursor)}`);
  const { cursor: next, ...overSocket } = batch;
  assert.deepEqual(overRest, overSocket, 'the same difference over REST');
  const wire = await bob.subscribed(t);
  assert.deepEqual(await wire.do('sync.request', { cursor }), {});
  // The plain WebSocket says which request it answers.
  const { cursor: __, requestId, ...overWire } = await wire.take('sync.batch');
  assert.equal(typeof requestId, 'number');
  assert.deepEqual(overWire, overSocket, 'the same difference over the plain WebSocket');

  const nothing = await bob.call('GET', `/sync?cursor=${encodeURIComponent(next)}`);
  assertKeys(nothing.body, DIFFERENCE_KEYS);
  assert.deepEqual({ ...nothing.body, cursor: '' }, { cursor: '', epoch, hasMore: false, conversations: [], removed: [] });
  assert.ok(Buffer.byteLength(nothing.text) < 300, `an empty difference of ${Buffer.byteLength(nothing.text)} bytes`);
  await back.do('sync:request', { cursor: next });
  const empty = await back.take('sync:batch');
  assert.deepEqual({ ...empty, cursor: '' }, { ...nothing.body, cursor: '' });
  assert.ok(Buffer.byteLength(JSON.stringify(empty)) < 300);
});

test('a conversation far behind sends its newest page and says where the hole is', async () => {
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  const { cursor } = await bob.sync();
  for (let i = 1; i <= 150; i++) await alice.send(dm, `message ${i}`);

  const { conversations: [told], hasMore } = await bob.api('GET', `/sync?cursor=${encodeURIComponent(cursor)}`);
  assert.equal(hasMore, false);
  assert.deepEqual(told.messages.map((m) => m.seq), Array.from({ length: 100 }, (_, i) => 51 + i));
  assert.equal(told.holeBefore, 51);
  const fill = await bob.api('GET', `/conversations/${dm.id}/messages?beforeSeq=51&limit=200`);
  assert.equal(fill.hasMore, false);
  assert.deepEqual(fill.messages.map((m) => m.body), Array.from({ length: 50 }, (_, i) => `message ${1 + i}`));
});

test('one conversation after a message, at most a hundred at a time', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  const sent = [];
  for (let i = 1; i <= 108; i++) sent.push(await alice.send(dm, `message ${i}`));
  const phone = await bob.online(t);

  let after = sent[2].messageId;
  for (const [from, to, hasMore] of [[4, 103, true], [104, 108, false]]) {
    assert.deepEqual(await phone.do('sync:request', { conversationId: dm.id, afterMessageId: after }), {});
    const batch = await phone.take('sync:batch');
    assert.equal(batch.conversationId, dm.id);
    assert.equal(batch.hasMore, hasMore);
    assert.deepEqual(batch.messages.map((m) => m.seq), Array.from({ length: to - from + 1 }, (_, i) => from + i));
    for (const message of batch.messages) assertKeys(message, MESSAGE_KEYS);
    after = batch.messages.at(-1).messageId;
  }
});

test('a cursor that cannot be read is answered by starting over', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  await alice.send(dm, 'hello');
  const { cursor } = await bob.sync();
  const damaged = (cursor[8] === 'A' ? 'B' : 'A');
  const phone = await bob.online(t);
  for (const bad of ['nonsense', cursor.slice(0, 8) + damaged + cursor.slice(9)]) {
    const answer = await bob.api('GET', `/sync?cursor=${encodeURIComponent(bad)}`);
    assert.equal(answer.reset, true);
    assert.deepEqual(answer.conversations.map((c) => c.id), [dm.id]);
    assert.deepEqual(answer.conversations[0].messages.map((m) => m.body), ['hello']);
    await phone.do('sync:request', { cursor: bad });
    assert.equal((await phone.take('sync:batch')).reset, true);
  }
});

test('who heard everything and says so is told nothing, over each protocol', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  const { cursor } = await bob.sync();
  const phone = await bob.online(t);
  for (const body of ['one', 'two', 'three']) await alice.send(dm, body);
  let heard;
  for (let i = 0; i < 3; i++) heard = await phone.take('message:new');
  const have = [{ id: dm.id, rev: heard.rev, lastSeq: heard.seq }];
  const wire = await bob.subscribed(t);
  const ask = {
    'REST': () => bob.api('POST', '/sync', { cursor, have }),
    'Socket.IO': async () => (await phone.do('sync:request', { cursor, have }), phone.take('sync:batch')),
    'WebSocket': async () => (await wire.do('sync.request', { cursor, have }), wire.take('sync.batch')),
  };
  for (const [name, asked] of Object.entries(ask)) {
    const told = await asked();
    assertKeys(told, name === 'WebSocket' ? [...DIFFERENCE_KEYS, 'requestId'] : DIFFERENCE_KEYS);
    assert.deepEqual([told.conversations, told.removed, told.hasMore], [[], [], false], name);
    assert.notEqual(told.cursor, cursor, `${name}: the next difference begins later`);
  }
  const missed = await alice.send(dm, 'four');
  await phone.take('message:new');
  await phone.do('sync:request', { cursor, have });
  const told = await phone.take('sync:batch');
  assert.deepEqual(told.conversations.map((c) => [c.id, c.messages.map((m) => m.messageId)]), [[dm.id, [missed.messageId]]]);
});

test('history and muting need no REST', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  for (const body of ['one', 'two', 'three']) await alice.send(dm, body);
  const [phone, wire] = [await bob.online(t), await bob.subscribed(t)];
  const range = { beforeSeq: 3, limit: 1 };
  const page = await bob.api('GET', `/conversations/${dm.id}/messages?beforeSeq=3&limit=1`);
  assert.deepEqual(page.messages.map((m) => m.body), ['two']);
  const asked = { conversationId: dm.id, ...range };
  assert.deepEqual(await phone.do('history:request', asked), page);
  const { messages, hasMore } = await wire.do('history.request', asked);
  assert.deepEqual({ messages, hasMore }, page);
  assert.equal((await phone.refused('history:request', { ...asked, afterSeq: 1 })).code, 'invalid');
  const mutedUntil = '2030-01-01T00:00:00.000Z';
  assert.deepEqual(await phone.do('conversation:mute', { conversationId: dm.id, mutedUntil }), {});
  assert.equal((await phone.take('conversation:updated')).conversation.mutedUntil, mutedUntil);
  assert.deepEqual(await wire.do('conversation.mute', { conversationId: dm.id, mutedUntil: null }), {});
  assert.equal((await phone.take('conversation:updated')).conversation.mutedUntil, null);
  assert.equal((await phone.refused('conversation:mute', { conversationId: dm.id })).code, 'invalid');
});

test('a conversation that bob was taken out of while away is told as removed', async () => {
  const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
  const group = await alice.group('three of us', [bob, carol]);
  await alice.send(group, 'hello');
  const { cursor } = await bob.sync();
  await alice.api('DELETE', `/conversations/${group.id}/members/${bob.id}`);
  await alice.send(group, 'without bob');
  const difference = await bob.sync(cursor);
  assert.deepEqual(difference.removed, [group.id]);
  assert.deepEqual(difference.conversations, []);
});
