// The guard of the Socket.IO front end: whatever a client sends from the very instant of its connection on is taken, all of it, in the order of
// sending. A server that registers its handlers too late loses the first events; one that runs each event as a task of its own reorders them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { io } from 'socket.io-client';
import { DEADLINE_MS, startServer, within } from './harness.mjs';

const BURST = Number(process.env.E2E_BURST ?? 100_000);
assert.ok(Number.isInteger(BURST) && BURST > 0, 'E2E_BURST is a number of events');
/** A thousand events a second at the very least: below that something is wrong, however slow the machine. */
const BURST_DEADLINE_MS = Math.max(60_000, BURST);

const server = await startServer();

/** A client of its own, without the bookkeeping that a burst would drown in. */
function client(t, person, transports) {
  const socket = io(server.url, { forceNew: true, autoConnect: false, transports, auth: { token: person.token } });
  t.after(() => socket.disconnect());
  return socket;
}

/** Sends `count` messages into a conversation; `acks` gets what comes back, by the order of sending. */
function sender(socket, conversationId, prefix) {
  const acks = [];
  let missing = 0;
  let settled;
  const all = new Promise((done, fail) => {
    settled = done;
    socket.on('disconnect', (reason) => fail(new Error(`disconnected (${reason}) with ${missing} acknowledgements missing`)));
    socket.on('connect_error', fail);
  });
  all.catch(() => {});
  return {
    acks,
    all,
    missing: () => missing,
    send(count) {
      for (let i = 0; i < count; i++) {
        const nth = acks.length;
        acks.push(null);
        missing += 1;
        const frame = { conversationId, clientMsgId: `${prefix}-${nth}`, body: `${prefix} ${nth}` };
        socket.emit('message:send', frame, (ack) => {
          acks[nth] = ack;
          missing -= 1;
          if (missing === 0) settled();
        });
      }
    },
  };
}

async function assertLogIs(person, conversation, prefix, count) {
  const log = await person.history(conversation);
  assert.equal(log.length, count);
  log.forEach((message, i) => {
    assert.equal(message.seq, i + 1);
    assert.equal(message.clientMsgId, `${prefix}-${i}`);
    assert.equal(message.body, `${prefix} ${i}`);
  });
}

function assertAcksInOrder(acks, prefix) {
  acks.forEach((ack, i) => {
    assert.equal(ack?.error, undefined, `${prefix} ${i}: ${JSON.stringify(ack)}`);
    assert.equal(ack.clientMsgId, `${prefix}-${i}`);
    assert.equal(ack.seq, i + 1, `${prefix} ${i} has seq ${ack.seq}`);
  });
}

const PER_CONNECTION = 1000;

for (const [how, transports] of [
  ['websocket', ['websocket']],
  ['polling', ['polling']],
  ['polling that upgrades', ['polling', 'websocket']],
]) {
  for (const [when, before] of [
    ['in the instant of connecting', 0],
    ['before and in the instant of connecting', PER_CONNECTION / 2],
    ['before connecting', PER_CONNECTION],
  ]) {
    test(`nothing sent ${when} is lost or reordered, on three connections over ${how}`, async (t) => {
      const [alice, bob, ...others] = await server.people('alice', 'bob', 'carol', 'dave');
      const conversations = [await alice.dm(bob), await alice.dm(others[0]), await alice.dm(others[1])];

      const heard = [];
      const listener = client(t, bob, ['websocket']);
      const heardAll = new Promise((done, fail) => {
        listener.on('disconnect', (reason) => fail(new Error(`bob was disconnected (${reason})`)));
        listener.on('message:new', (message) => {
          heard.push(message.seq);
          if (heard.length === PER_CONNECTION) done();
        });
      });
      heardAll.catch(() => {});
      listener.connect();
      await within(new Promise((done) => listener.once('connect', done)), 'bob to connect');

      const senders = conversations.map((conversation, c) => {
        const socket = client(t, alice, transports);
        const one = sender(socket, conversation.id, `line${c}`);
        one.send(before);
        socket.once('connect', () => one.send(PER_CONNECTION - before));
        socket.connect();
        return one;
      });
      const missing = () => `acknowledgements: ${senders.map((s) => s.missing())} of ${PER_CONNECTION} missing on the connections`;
      await within(Promise.all(senders.map((s) => s.all)), missing, BURST_DEADLINE_MS);
      for (const [c, { acks }] of senders.entries()) {
        assert.equal(acks.length, PER_CONNECTION);
        assertAcksInOrder(acks, `line${c}`);
        await assertLogIs(alice, conversations[c], `line${c}`, PER_CONNECTION);
      }
      await within(heardAll, () => `bob to hear all: ${heard.length} of ${PER_CONNECTION}`);
      assert.deepEqual(heard, Array.from({ length: PER_CONNECTION }, (_, i) => i + 1), 'what bob hears, as he hears it');
    });
  }
}

test('the first event of a thousand connections is never lost', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  const WAVES = 40;
  const PER_WAVE = 25;
  for (let wave = 0; wave < WAVES; wave++) {
    const sockets = [];
    const acks = Array.from({ length: PER_WAVE }, (_, i) => new Promise((done, fail) => {
      const socket = client(t, alice, ['websocket']);
      sockets.push(socket);
      socket.on('connect_error', fail);
      socket.on('disconnect', (reason) => fail(new Error(`disconnected (${reason}) with its first event unanswered`)));
      socket.emit('message:send', { conversationId: dm.id, clientMsgId: `w${wave}-${i}`, body: 'first' }, done);
      socket.connect();
    }));
    for (const ack of await within(Promise.all(acks), `the first acknowledgements of wave ${wave}`)) {
      assert.equal(ack.error, undefined, JSON.stringify(ack));
    }
    for (const socket of sockets) {
      socket.off('disconnect');
      socket.disconnect();
    }
  }
  assert.equal((await bob.history(dm)).length, WAVES * PER_WAVE);
});

test('three connections into one conversation: each keeps its own order, and the log has no gap', async (t) => {
  const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
  const group = await alice.group('all at once', [bob, carol]);
  const senders = [alice, bob, carol].map((person) => {
    const socket = client(t, person, ['websocket']);
    const one = sender(socket, group.id, person.name);
    socket.once('connect', () => one.send(PER_CONNECTION));
    socket.connect();
    return one;
  });
  await within(Promise.all(senders.map((s) => s.all)), () => `acknowledgements: ${senders.map((s) => s.missing())} missing`, BURST_DEADLINE_MS);

  const seqs = senders.map(({ acks }) => acks.map((ack) => ack.seq));
  for (const own of seqs) assert.deepEqual(own, [...own].sort((a, b) => a - b));
  const together = seqs.flat().sort((a, b) => a - b);
  assert.deepEqual(together, Array.from({ length: 3 * PER_CONNECTION }, (_, i) => i + 1));
});

test(`${BURST} events in a row on one connection: none lost, none reordered`, async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const dm = await alice.dm(bob);
  const socket = client(t, alice, ['websocket']);
  const one = sender(socket, dm.id, 'n');
  let echoes = 0;
  const outOfOrder = [];
  const echoed = new Promise((done) => {
    socket.on('message:new', ({ seq }) => {
      echoes += 1;
      if (seq !== echoes) outOfOrder.push([echoes, seq]);
      if (echoes === BURST) done();
    });
  });
  socket.connect();
  await within(new Promise((done) => socket.once('connect', done)), 'alice to connect', DEADLINE_MS);

  one.send(BURST);
  await within(one.all, () => `acknowledgements: ${one.missing()} of ${BURST} missing`, BURST_DEADLINE_MS);
  assertAcksInOrder(one.acks, 'n');
  await within(echoed, () => `her own messages back: ${echoes} of ${BURST}`);
  assert.deepEqual(outOfOrder.slice(0, 5), []);
  await assertLogIs(bob, dm, 'n', BURST);
});
