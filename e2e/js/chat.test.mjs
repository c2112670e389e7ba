// What people do with each other, over Socket.IO with the official JavaScript client.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { assertId, assertKeys, assertProblem, assertTime, MESSAGE_KEYS, startServer } from './harness.mjs';

const server = await startServer();

const ACK_KEYS = ['clientMsgId', 'messageId', 'seq', 'rev', 'createdAt'];

const WAYS = [
  { how: 'websocket', transports: ['websocket'], first: 'websocket', last: 'websocket' },
  { how: 'polling', transports: ['polling'], first: 'polling', last: 'polling' },
  { how: 'polling that upgrades to websocket', transports: ['polling', 'websocket'], first: 'polling', last: 'websocket' },
];

for (const { how, transports, first, last } of WAYS) {
  test(`alice and bob chat over ${how}`, async (t) => {
    const [alice, bob] = await server.people('alice', 'bob');
    const alicePhone = await alice.online(t, { transports });
    const aliceLaptop = await alice.online(t, { transports });
    const bobPhone = await bob.online(t, { transports });
    if (first === last) assert.equal(alicePhone.transport, first);

    const dm = await alice.dm(bob);
    assertId(dm.id);
    assert.equal(dm.type, 'dm');
    assert.equal(dm.title, null);
    assert.equal(dm.lastSeq, 0);
    assert.equal(dm.unreadCount, 0);
    assert.equal(dm.peer.id, bob.id);
    assert.equal(dm.peer.email, bob.email);

    const clientMsgId = randomUUID();
    const ack = await alicePhone.do('message:send', { conversationId: dm.id, clientMsgId, body: 'hello bob 👋' });
    assertKeys(ack, ACK_KEYS);
    assert.equal(ack.clientMsgId, clientMsgId);
    assertId(ack.messageId);
    assert.equal(ack.seq, 1);
    assert.ok(Number.isInteger(ack.rev) && ack.rev > dm.rev, `rev ${ack.rev} is above ${dm.rev}`);
    assertTime(ack.createdAt);
    assert.deepEqual(await alicePhone.take('message:ack'), ack);

    const atBob = await bobPhone.take('message:new');
    assertKeys(atBob, MESSAGE_KEYS);
    assert.deepEqual(atBob, {
      messageId: ack.messageId,
      conversationId: dm.id,
      seq: 1,
      rev: ack.rev,
      senderId: alice.id,
      senderName: 'alice',
      senderAvatar: null,
      clientMsgId,
      body: 'hello bob 👋',
      createdAt: ack.createdAt,
      editedAt: null,
      deletedAt: null,
      reactions: [],
    });
    assert.deepEqual(await aliceLaptop.take('message:new'), atBob);
    assert.deepEqual(await alicePhone.take('message:new'), atBob);

    if (first !== last) {
      for (const device of [alicePhone, aliceLaptop, bobPhone]) assert.equal(await device.take('upgrade'), last);
    }
    const reply = await bobPhone.do('message:send', {
      conversationId: dm.id, clientMsgId: 'from-bob', body: 'hello alice', replyTo: ack.messageId,
    });
    assert.equal(reply.seq, 2);
    for (const device of [alicePhone, aliceLaptop, bobPhone]) {
      const message = await device.take('message:new');
      assertKeys(message, [...MESSAGE_KEYS, 'replyTo']);
      assert.equal(message.body, 'hello alice');
      assert.equal(message.senderId, bob.id);
      assert.equal(message.seq, 2);
      assert.equal(message.replyTo, ack.messageId);
      assert.equal(device.transport, last);
    }
    assert.deepEqual(aliceLaptop.all('message:ack'), [], 'an acknowledgement is for the sending connection alone');
  });
}

test('a device signs in with a Bearer header as well', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const { id } = await alice.dm(bob);
  for (const [seq, transports] of [[1, ['websocket']], [2, ['polling']]]) {
    const device = await alice.online(t, { transports, auth: {}, extraHeaders: { Authorization: `Bearer ${alice.token}` } });
    assert.equal((await device.do('message:send', { conversationId: id, clientMsgId: randomUUID(), body: 'mine' })).seq, seq);
  }
});

test('the same pair has one conversation, also when both ask at once', async () => {
  const [alice, bob] = await server.people('alice', 'bob');
  const asked = await Promise.all([0, 1, 2, 3].flatMap(() => [alice.dm(bob), bob.dm(alice)]));
  assert.equal(new Set(asked.map((dm) => dm.id)).size, 1);
  const byId = await alice.api('POST', '/conversations/dm', { userId: bob.id });
  assert.equal(byId.id, asked[0].id);
});

test('edits, deletions, reactions and receipts reach everybody, and their revs have no gaps', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  const alicePhone = await alice.online(t);
  const bobPhone = await bob.online(t);
  const bobLaptop = await bob.online(t);
  const conversationId = dm.id;

  const sent = await alicePhone.do('message:send', { conversationId, clientMsgId: 'one', body: 'helo' });
  const { messageId } = sent;
  await bobPhone.take('message:new');

  const edit = await alicePhone.do('message:edit', { conversationId, messageId, body: 'hello' });
  assert.deepEqual(edit, { messageId, rev: edit.rev });
  for (const device of [alicePhone, bobPhone, bobLaptop]) {
    const edited = await device.take('message:updated');
    assertKeys(edited, MESSAGE_KEYS);
    assert.equal(edited.body, 'hello');
    assert.equal(edited.rev, edit.rev);
    assert.equal(edited.seq, 1);
    assertTime(edited.editedAt);
  }

  const react = await bobPhone.do('message:react', { conversationId, messageId, emoji: '👍' });
  assert.deepEqual(react, { messageId, rev: react.rev });
  const reacted = { conversationId, messageId, seq: 1, rev: react.rev, reactions: [{ emoji: '👍', userIds: [bob.id] }] };
  for (const device of [alicePhone, bobPhone, bobLaptop]) assert.deepEqual(await device.take('reaction:updated'), reacted);
  const unreact = await bobPhone.do('message:react', { conversationId, messageId, emoji: '👍', remove: true });
  for (const device of [alicePhone, bobPhone, bobLaptop]) {
    assert.deepEqual(await device.take('reaction:updated'), { ...reacted, rev: unreact.rev, reactions: [] });
  }

  const receipt = await bobPhone.do('receipt', { conversationId, deliveredSeq: 1, readSeq: 1 });
  assert.deepEqual(receipt, { rev: receipt.rev });
  const read = { conversationId, userId: bob.id, deliveredSeq: 1, readSeq: 1, rev: receipt.rev };
  for (const device of [alicePhone, bobLaptop]) {
    assert.deepEqual(await device.take('receipt:updated', (r) => r.userId === bob.id), read);
  }
  assert.deepEqual(await bobPhone.do('receipt', { conversationId, readSeq: 0 }), { rev: receipt.rev }, 'a lower number changes nothing');

  const gone = await alicePhone.do('message:delete', { conversationId, messageId });
  assert.deepEqual(gone, { messageId, rev: gone.rev });
  for (const device of [alicePhone, bobPhone, bobLaptop]) {
    const deleted = await device.take('message:deleted');
    assertKeys(deleted, ['conversationId', 'messageId', 'seq', 'rev', 'deletedAt']);
    assert.deepEqual({ ...deleted, deletedAt: null }, { conversationId, messageId, seq: 1, rev: gone.rev, deletedAt: null });
    assertTime(deleted.deletedAt);
  }
  const [tombstone] = await bob.history(dm);
  assert.equal(tombstone.body, '');
  assert.ok(tombstone.deletedAt);

  const last = await alicePhone.do('message:send', { conversationId, clientMsgId: 'two', body: 'the end' });
  await bobLaptop.take('message:new', (m) => m.body === 'the end');
  const revs = bobLaptop.events.filter((e) => e.payload?.conversationId === conversationId).map((e) => e.payload.rev);
  const expected = Array.from({ length: last.rev - sent.rev + 1 }, (_, i) => sent.rev + i);
  assert.deepEqual([...new Set(revs)].sort((a, b) => a - b), expected);
});

test('what the rules refuse is refused with its code, and the connection lives on', async (t) => {
  const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
  const dm = await alice.dm(bob);
  const phone = await alice.online(t);
  const stranger = await carol.online(t);
  const send = (more) => ({ conversationId: dm.id, clientMsgId: randomUUID(), body: 'x', ...more });

  const cases = [
    ['invalid', send({ body: ' \n\t ' })],
    ['too_large', send({ body: 'é'.repeat(2048) + '!' })],
    ['invalid', send({ clientMsgId: 'no spaces allowed' })],
    ['invalid', send({ clientMsgId: 'x'.repeat(65) })],
    ['invalid', send({ body: 7 })],
    ['not_found', send({ conversationId: '01900000-0000-7000-8000-000000000000' })],
    ['invalid', send({ conversationId: 'nowhere' })],
    ['invalid', 'not an object'],
    ['invalid', null],
    ['invalid', []],
  ];
  for (const [code, payload] of cases) {
    const error = await phone.refused('message:send', payload);
    assert.equal(error.code, code, `${JSON.stringify(payload)}: ${JSON.stringify(error)}`);
    assert.equal(typeof error.detail, 'string');
  }
  assert.equal((await stranger.refused('message:send', send())).code, 'not_found', 'who may not see it does not learn of it');
  assert.equal((await phone.refused('message:react', { conversationId: dm.id, messageId: randomUUID(), emoji: '👍' })).code, 'not_found');

  phone.socket.emit('message:send', send({ body: '' }));
  assert.equal((await phone.take('error')).code, 'invalid', 'a refusal without a callback is told by an event');

  const full = await phone.do('message:send', send({ body: 'é'.repeat(2048) }));
  assert.equal(full.seq, 1, 'a body of 4096 bytes fits, and nothing before it got into the log');
});

test('a resent message keeps its first seq, over whichever way it comes', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  const phone = await alice.online(t);
  const laptop = await alice.online(t);
  const bobPhone = await bob.online(t);
  const path = `/conversations/${dm.id}/messages`;

  const first = await alice.call('POST', path, { clientMsgId: 'by-rest', body: 'once' });
  assert.equal(first.status, 201, first.text);
  assertKeys(first.body, MESSAGE_KEYS);
  const again = await alice.call('POST', path, { clientMsgId: 'by-rest', body: 'once' });
  assert.equal(again.status, 200, again.text);
  assert.deepEqual(again.body, first.body);

  const frame = { conversationId: dm.id, clientMsgId: 'by-socket', body: 'twice' };
  const ack = await phone.do('message:send', frame);
  assert.equal(ack.seq, 2);
  assert.deepEqual(await phone.do('message:send', frame), ack);
  assert.deepEqual(await laptop.do('message:send', frame), ack, 'from another device');
  assert.deepEqual(await laptop.do('message:send', { ...frame, body: 'another text' }), ack, 'the first text stands');
  const crossed = await alice.call('POST', path, { clientMsgId: 'by-socket', body: 'twice' });
  assert.equal(crossed.status, 200);
  assert.equal(crossed.body.messageId, ack.messageId);
  const { messageId, seq, rev, clientMsgId, createdAt } = first.body;
  assert.deepEqual(
    await phone.do('message:send', { conversationId: dm.id, clientMsgId: 'by-rest', body: 'once' }),
    { clientMsgId, messageId, seq, rev, createdAt },
  );

  const racing = { conversationId: dm.id, clientMsgId: 'racing', body: 'thrice' };
  const acks = await Promise.all([phone, laptop, phone, laptop].map((device) => device.do('message:send', racing)));
  for (const one of acks) assert.deepEqual(one, acks[0]);

  await phone.do('message:send', { conversationId: dm.id, clientMsgId: 'last', body: 'the end' });
  await bobPhone.take('message:new', (m) => m.body === 'the end');
  assert.deepEqual(bobPhone.all('message:new').map((m) => [m.seq, m.body]), [[1, 'once'], [2, 'twice'], [3, 'thrice'], [4, 'the end']]);
  assert.deepEqual((await bob.history(dm)).map((m) => m.body), ['once', 'twice', 'thrice', 'the end']);
});

test('a message that follows another is refused until that one is in the log', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  const phone = await alice.online(t);
  const bobPhone = await bob.online(t);
  const send = (clientMsgId, afterClientMsgId) => ({ conversationId: dm.id, clientMsgId, body: clientMsgId, afterClientMsgId });

  assert.equal((await phone.refused('message:send', send('second', 'first'))).code, 'out_of_order');
  const overRest = await alice.call('POST', `/conversations/${dm.id}/messages`, { clientMsgId: 'second', body: 'x', afterClientMsgId: 'first' });
  assert.ok(overRest.status >= 400 && overRest.status < 500, overRest.text);
  assertProblem(overRest, overRest.status, 'out_of_order');

  await bobPhone.do('message:send', send('first'));
  assert.equal((await phone.refused('message:send', send('second', 'first'))).code, 'out_of_order', 'the first of bob is not the first of alice');

  const acks = await Promise.all([
    phone.do('message:send', send('first')),
    phone.do('message:send', send('second', 'first')),
    phone.do('message:send', send('third', 'second')),
  ]);
  assert.deepEqual(acks.map((ack) => ack.seq), [2, 3, 4], 'several under way at once');
});

test('a removed member is told so and then hears nothing more', async (t) => {
  const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
  const group = await alice.group('three of us', [bob, carol]);
  assert.equal(group.myRole, 'owner');
  assert.equal(group.memberCount, 3);
  const aside = await alice.dm(carol);
  const bobPhone = await bob.online(t);
  const carolPhone = await carol.online(t);
  const carolWire = await carol.subscribed(t);
  await alice.send(group, 'all together');
  await carolPhone.take('message:new');

  await alice.api('DELETE', `/conversations/${group.id}/members/${carol.id}`);
  assert.deepEqual(await carolPhone.take('conversation:removed'), { conversationId: group.id });
  assert.deepEqual(await carolWire.take('conversation.removed'), { conversationId: group.id });
  const left = await bobPhone.take('member:updated');
  assertKeys(left, ['conversationId', 'rev', 'member']);
  assert.equal(left.member.userId, carol.id);
  assert.equal(left.member.removed, true);

  const secret = await alice.send(group, 'without carol');
  await alice.api('PATCH', `/conversations/${group.id}/messages/${secret.messageId}`, { body: 'still without carol' });
  await alice.api('PUT', `/conversations/${group.id}/messages/${secret.messageId}/reactions/${encodeURIComponent('👍')}`);
  await bobPhone.take('reaction:updated');
  assert.equal((await carolPhone.refused('message:send', { conversationId: group.id, clientMsgId: 'late', body: 'me?' })).code, 'not_found');
  assert.equal((await carolPhone.refused('sync:request', { conversationId: group.id })).code, 'not_found');
  assertProblem(await carol.call('GET', `/conversations/${group.id}`), 404, 'not_found');
  assertProblem(await carol.call('GET', `/conversations/${group.id}/messages`), 404, 'not_found');

  await alice.send(aside, 'are you there?');
  await carolPhone.take('message:new', (m) => m.conversationId === aside.id);
  await carolWire.take('message.new', (m) => m.conversationId === aside.id);
  for (const { events } of [carolPhone, carolWire]) {
    const removedAt = events.findIndex((e) => e.name.startsWith('conversation') && e.name.endsWith('removed'));
    const later = events.slice(removedAt + 1).filter((e) => e.payload?.conversationId === group.id);
    assert.deepEqual(later, []);
  }
  assert.deepEqual((await carol.sync()).conversations.map((c) => c.id), [aside.id]);
});

test('an added member gets the whole conversation at once', async (t) => {
  const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
  const carolPhone = await carol.online(t);
  const bobPhone = await bob.online(t);

  for (const [historyVisibility, visible] of [['joined', ['welcome']], ['all', ['before carol', 'welcome']]]) {
    const group = await alice.group(`history: ${historyVisibility}`, [bob], { historyVisibility });
    await bobPhone.take('conversation:updated', (c) => c.conversation?.id === group.id);
    await alice.send(group, 'before carol');

    await alice.api('POST', `/conversations/${group.id}/members`, { email: carol.email });
    const { conversationId, rev, conversation } = await carolPhone.take('conversation:updated');
    assert.equal(conversationId, group.id);
    assert.equal(conversation.id, group.id);
    assert.equal(conversation.rev, rev);
    assert.equal(conversation.type, 'group');
    assert.equal(conversation.title, `history: ${historyVisibility}`);
    assert.equal(conversation.myRole, 'member');
    assert.equal(conversation.memberCount, 3);
    assert.equal(conversation.unreadCount, 0, 'a new member starts at the end of the log');
    assert.deepEqual(conversation.members.map((m) => m.name).sort(), ['alice', 'bob', 'carol']);
    const told = await bobPhone.take('member:updated', (m) => m.member.userId === carol.id && m.conversationId === group.id);
    assert.equal(told.member.role, 'member');

    await alice.send(group, 'welcome');
    const heard = await carolPhone.take('message:new', (m) => m.conversationId === group.id);
    assert.equal(heard.body, 'welcome');
    assert.equal(heard.seq, 2);
    assert.deepEqual((await carol.history(group)).map((m) => m.body), visible);
    assert.equal((await carol.api('GET', `/conversations/${group.id}`)).unreadCount, 1);
  }
});
