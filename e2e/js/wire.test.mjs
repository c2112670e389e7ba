// The plain WebSocket: frames, requests and the codes with which it closes.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { assertId, assertKeys, assertTime, DEADLINE_MS, MESSAGE_KEYS, startServer, Wire } from './harness.mjs';

const server = await startServer();
const brief = await startServer({ TERTULIA_AUTH__SESSION_TTL_MS: '12000' });
const narrow = await startServer({ TERTULIA_LIMITS__LANE_MAX_BYTES: String(512 * 1024) });

const FRAME_MAX = 64 * 1024;

async function cookieOf(person) {
  const { answer } = await person.signIn();
  return answer.headers.getSetCookie().find((c) => c.startsWith('tertulia_session=')).split(';')[0];
}

test('a token comes as a parameter, a header, a cookie or a subprotocol', async (t) => {
  const [alice] = await server.people('alice');
  const cookie = await cookieOf(alice);
  const ways = {
    parameter: new Wire(t, server, `?token=${alice.token}`),
    header: new Wire(t, server, '', { headers: { Authorization: `Bearer ${alice.token}` } }),
    cookie: new Wire(t, server, '', { headers: { Cookie: cookie, Origin: server.url } }),
    subprotocol: new Wire(t, server, '', { protocols: [`bearer.${alice.token}`] }),
  };
  const sessions = new Set();
  for (const [way, wire] of Object.entries(ways)) {
    const connected = await wire.take('connected');
    assert.equal(wire.events[0].name, 'connected', `${way}: connected comes first`);
    assertKeys(connected, ['userId', 'sessionId', 'serverTime', 'epoch', 'limits']);
    assert.equal(connected.userId, alice.id);
    assertId(connected.sessionId);
    assertTime(connected.serverTime);
    assert.equal(connected.limits.frameMaxBytes, FRAME_MAX);
    assert.equal(connected.limits.bodyMaxBytes, 4096);
    sessions.add(connected.sessionId);
    await wire.do('ping');
  }
  assert.equal(sessions.size, 2, 'the cookie is of a second sign-in, all else of the first');
  assert.equal(ways.subprotocol.ws.protocol, `bearer.${alice.token}`);
});

test('a missing or bad token closes with 4401', async (t) => {
  const [alice] = await server.people('alice');
  const broken = `${alice.token.slice(0, -8)}AAAAAAAA`;
  const wires = [
    new Wire(t, server),
    new Wire(t, server, '?token=nonsense'),
    new Wire(t, server, `?token=${broken}`),
    new Wire(t, server, '', { headers: { Authorization: `Bearer ${broken}` } }),
    new Wire(t, server, '', { protocols: [`bearer.${broken}`] }),
  ];
  for (const wire of wires) {
    assert.equal((await wire.take('close')).code, 4401);
    assert.deepEqual(wire.all('connected'), []);
  }
});

test('a cookie from a page of another origin opens nothing', async (t) => {
  const [alice] = await server.people('alice');
  const cookie = await cookieOf(alice);
  for (const headers of [{ Cookie: cookie, Origin: 'http://evil.example' }, { Cookie: cookie, Origin: 'null' }, { Cookie: cookie }]) {
    const wire = new Wire(t, server, '', { headers });
    const { name, payload } = await wire.takeOne((e) => ['close', 'http', 'connected'].includes(e.name), 'the refusal');
    if (name === 'http') assert.ok(payload === 401 || payload === 403, `refused with ${payload}`);
    else assert.equal(payload.code, 4401, name);
  }
});

test('alice and bob chat over the plain WebSocket', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const { id: conversationId } = await alice.dm(bob);
  const phone = await alice.subscribed(t);
  const laptop = await alice.subscribed(t);
  const bobWire = await bob.subscribed(t);
  const bobPhone = await bob.online(t);

  const clientMsgId = randomUUID();
  const ack = await phone.do('message.send', { conversationId, clientMsgId, body: 'hello bob' });
  assertKeys(ack, ['clientMsgId', 'messageId', 'seq', 'rev', 'createdAt']);
  assert.equal(ack.clientMsgId, clientMsgId);
  assert.equal(ack.seq, 1);
  const atBob = await bobWire.take('message.new');
  assertKeys(atBob, MESSAGE_KEYS);
  assert.equal(atBob.messageId, ack.messageId);
  assert.equal(atBob.senderName, 'alice');
  assert.deepEqual(await laptop.take('message.new'), atBob);
  assert.deepEqual(await phone.take('message.new'), atBob);
  assert.deepEqual(await bobPhone.take('message:new'), atBob, 'the same to the letter over Socket.IO');

  bobWire.tell('message.send', { conversationId, clientMsgId: 'no-id', body: 'hello alice' });
  const event = await bobWire.take('message.ack');
  assertKeys(event, ['clientMsgId', 'messageId', 'seq', 'rev', 'createdAt']);
  assert.equal(event.clientMsgId, 'no-id');
  assert.equal((await phone.take('message.new')).body, 'hello alice');

  const { messageId } = ack;
  const edit = await phone.do('message.edit', { conversationId, messageId, body: 'hello dear bob' });
  assert.deepEqual(edit, { messageId, rev: edit.rev });
  assert.equal((await bobWire.take('message.updated')).body, 'hello dear bob');
  const react = await bobWire.do('message.react', { conversationId, messageId, emoji: '🎉' });
  assert.deepEqual(await phone.take('reaction.updated'), {
    conversationId, messageId, seq: 1, rev: react.rev, reactions: [{ emoji: '🎉', userIds: [bob.id] }],
  });
  const receipt = await phone.do('receipt', { conversationId, readSeq: 2 });
  const read = await bobWire.take('receipt.updated', (r) => r.userId === alice.id && r.readSeq === 2);
  assert.equal(read.rev, receipt.rev);
  const gone = await phone.do('message.delete', { conversationId, messageId });
  assert.equal((await bobWire.take('message.deleted')).rev, gone.rev);
});

test('requests under way together are answered by their ids, in the order of the log', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const { id: conversationId } = await alice.dm(bob);
  const wire = await alice.subscribed(t);
  const ids = Array.from({ length: 500 }, (_, i) => 1000 + i);
  for (const id of ids) {
    wire.ws.send(JSON.stringify({ type: 'message.send', id, conversationId, clientMsgId: `c${id}`, body: `${id}` }));
  }
  for (const [i, id] of ids.entries()) {
    const answer = await wire.answer(id);
    assert.equal(answer.type, 'ok');
    assert.equal(answer.clientMsgId, `c${id}`);
    assert.equal(answer.seq, i + 1);
  }
});

test('a malformed frame costs an error frame and nothing else', async (t) => {
  const [alice] = await server.people('alice');
  const wire = await alice.subscribed(t);
  const deep = '['.repeat(20_000);
  const nameless = [
    'not json', '', '{', 'null', '[]', '7', '"text"', '{}', '{"type":5}', '{"type":null}', '{"type":"ping","id":"one"}',
    '{"type":"ping","id":-1}', '{"type":"ping","id":1.5}', '\u0000', '{"type":"message.send"}', deep, `{"type":"receipt","conversationId":${deep}`,
    '{"type":"no.such.thing"}', '{"type":"connected"}', '{"type":"message.new"}',
  ];
  for (const frame of nameless) {
    wire.ws.send(frame);
    const error = await wire.take('error');
    assertKeys(error, ['code', 'detail']);
    assert.equal(error.code, 'invalid', `${frame.slice(0, 60)}: ${JSON.stringify(error)}`);
  }
  for (const bytes of [Buffer.from([0, 1, 2, 255]), Buffer.from('{"type":"ping","id":1}')]) {
    wire.ws.send(bytes, { binary: true });
    assert.equal((await wire.take('error')).code, 'invalid');
  }
  for (const [type, fields] of [
    ['no.such.thing', {}],
    ['message.send', {}],
    ['message.send', { conversationId: 5, clientMsgId: [], body: {} }],
    ['message.react', { conversationId: alice.id, messageId: alice.id, emoji: 'not an emoji' }],
    ['presence.watch', { userIds: 'everybody' }],
    ['typing.start', { conversationId: '../../etc' }],
    ['sync.request', { limit: 'all' }],
  ]) {
    const error = await wire.refused(type, fields);
    assert.equal(error.code, 'invalid', `${type} ${JSON.stringify(fields)}`);
    assert.equal(typeof error.detail, 'string');
  }
  assert.deepEqual(await wire.do('ping'), {}, 'the connection lives on');
  assert.deepEqual(wire.all('close'), []);
});

test('a frame of the limit is taken, one of a byte more closes with 1009', async (t) => {
  const [alice] = await server.people('alice');
  const wire = await alice.subscribed(t);
  const frame = (bytes) => {
    const head = '{"type":"ping","id":1,"padding":"';
    return `${head}${'x'.repeat(bytes - head.length - 2)}"}`;
  };
  assert.equal(Buffer.byteLength(frame(FRAME_MAX)), FRAME_MAX);
  wire.ws.send(frame(FRAME_MAX));
  assert.equal((await wire.answer(1)).type, 'ok');
  wire.ws.send(frame(FRAME_MAX + 1));
  assert.equal((await wire.take('close')).code, 1009);
});

test('an open connection takes a renewed token, and no bad one', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const wire = await alice.subscribed(t);
  const renewed = await server.request('POST', '/auth/refresh', { token: alice.token });
  assert.equal(renewed.status, 200, renewed.text);
  assert.equal((await wire.refused('auth.refresh', { token: 'nonsense' })).code, 'unauthenticated');
  assert.ok(['unauthenticated', 'forbidden'].includes((await wire.refused('auth.refresh', { token: bob.token })).code), 'not the token of another');
  assert.equal((await wire.refused('auth.refresh', {})).code, 'invalid');
  await wire.do('auth.refresh', { token: renewed.body.token });
  await wire.do('ping');
});

test('a connection ends with its token, and lives on with a renewed one', async (t) => {
  const [alice] = await brief.people('alice');
  const ends = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).exp;
  const forgetful = await alice.subscribed(t);
  const phone = await alice.online(t, { reconnection: false });
  const careful = await alice.subscribed(t);

  // Tokens end at whole seconds: until one is two of them ahead.
  let { token } = alice;
  for (const deadline = Date.now() + DEADLINE_MS; ends(token) < ends(alice.token) + 2;) {
    assert.ok(Date.now() < deadline, 'a renewed token ends later');
    const renewed = await brief.request('POST', '/auth/refresh', { token });
    assert.equal(renewed.status, 200, renewed.text);
    token = renewed.body.token;
  }
  await careful.do('auth.refresh', { token });
  assert.equal((await forgetful.take('close')).code, 4401);
  assert.ok(Date.now() >= ends(alice.token) * 1000, 'not before its time');
  assert.equal(await phone.take('disconnect'), 'io server disconnect');
  await careful.do('ping');
  assert.equal((await careful.take('close')).code, 4401);
  assert.ok(Date.now() >= ends(token) * 1000, 'not before the time of the renewed token');
});

/** Everything of a conversation after a cursor: the difference, and the holes that it names. */
async function caughtUp(person, conversation, cursor) {
  const { conversations: [told] } = await person.sync(cursor);
  assert.equal(told.id, conversation.id);
  const bySeq = new Map(told.messages.map((m) => [m.seq, m]));
  for (let hole = told.holeBefore; hole > 1;) {
    const { messages } = await person.api('GET', `/conversations/${conversation.id}/messages?beforeSeq=${hole}&limit=200`);
    for (const message of messages) bySeq.set(message.seq, message);
    hole = messages[0].seq;
  }
  return [...bySeq.values()].sort((a, b) => a.seq - b.seq).map((m) => m.body);
}

for (const [how, connect] of [
  ['plain WebSocket', async (t, bob) => {
    const wire = await bob.subscribed(t);
    return { socket: wire.ws, gone: async () => assert.equal((await wire.take('close')).code, 4408) };
  }],
  ['Socket.IO', async (t, bob) => {
    const device = await bob.online(t, { reconnection: false });
    return { socket: device.socket.io.engine.transport.ws, gone: () => device.take('disconnect') };
  }],
]) {
  test(`a reader that does not read is disconnected and catches up, over ${how}`, async (t) => {
    const [alice, bob] = await narrow.people('alice', 'bob');
    const dm = await alice.dm(bob);
    const { cursor } = await bob.sync();
    const { socket, gone } = await connect(t, bob);
    const phone = await alice.subscribed(t);

    socket.pause();
    // More than the lane and both kernels' socket buffers hold.
    const bodies = Array.from({ length: 4000 }, (_, i) => `${i} `.padEnd(4000, 'x'));
    for (let from = 0; from < bodies.length; from += 50) {
      await Promise.all(bodies.slice(from, from + 50).map((body) => (
        phone.do('message.send', { conversationId: dm.id, clientMsgId: randomUUID(), body })
      )));
    }
    socket.resume();
    await gone();
    assert.deepEqual(await caughtUp(bob, dm, cursor), bodies);
    const again = await bob.subscribed(t);
    await phone.do('message.send', { conversationId: dm.id, clientMsgId: randomUUID(), body: 'are you back?' });
    assert.equal((await again.take('message.new')).body, 'are you back?');
  });
}
