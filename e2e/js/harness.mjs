// Starts the real binary on a free port in a temporary folder, and brings people with foreign clients to it. Nothing here sleeps: whoever
// waits, waits for an event, with a deadline.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { io } from 'socket.io-client';
import WebSocket from 'ws';

export const DEADLINE_MS = Number(process.env.E2E_DEADLINE_MS ?? 15_000);

const here = fileURLToPath(new URL('.', import.meta.url));
const BINARY = process.env.TERTULIA_BIN
  ? resolve(process.env.TERTULIA_BIN)
  : resolve(here, '../../target/debug/tertulia');

/** The promise's value, or an error that says what did not come in time. */
export function within(promise, what, ms = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`waited ${ms} ms for ${typeof what === 'function' ? what() : what}`));
    }, ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The running server of a test file: stopped when the file's tests are over. */
export async function startServer(env = {}) {
  const server = new Server(await mkdtemp(join(tmpdir(), 'tertulia-e2e-')), env);
  after(() => server.stop());
  await server.launch('127.0.0.1:0');
  return server;
}

class Server {
  #child = null;
  #exit = null;
  #log = '';

  constructor(dir, env) {
    this.dir = dir;
    this.env = { TERTULIA_RATE_LIMITS: 'off', ...env };
  }

  async launch(listen) {
    if (!existsSync(BINARY)) {
      throw new Error(`no binary at ${BINARY}: run \`cargo build -p tertulia-server\`, or name one in TERTULIA_BIN`);
    }
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('TERTULIA_'));
    const child = spawn(BINARY, ['serve', '--listen', listen, '--data', this.dir], {
      env: { ...Object.fromEntries(inherited), ...this.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    this.#exit = new Promise((done) => child.once('exit', (code, signal) => done({ code, signal })));
    const orphan = () => child.kill('SIGKILL');
    process.once('exit', orphan);
    child.once('exit', () => process.off('exit', orphan));

    child.stderr.setEncoding('utf8');
    let since = '';
    const listening = new Promise((done, fail) => {
      child.stderr.on('data', (text) => {
        this.#log += text;
        if (since === null) return;
        since += text;
        const line = /^listening on http:\/\/127\.0\.0\.1:(\d+)$/m.exec(since);
        if (line) {
          since = null;
          done(Number(line[1]));
        }
      });
      child.once('error', fail);
      this.#exit.then(({ code, signal }) => {
        fail(new Error(`the server ended (${signal ?? code}) before it listened:\n${this.#log}`));
      });
    });
    this.port = await within(listening, () => `the line "listening on ..." in:\n${this.#log}`, 60_000);
    this.url = `http://127.0.0.1:${this.port}`;
  }

  /** What `kill -9` does. */
  async kill() {
    this.#child.kill('SIGKILL');
    await this.#exit;
  }

  /** Comes back on the same data and the same port. */
  async restart() {
    await this.launch(`127.0.0.1:${this.port}`);
  }

  /** Ends the server as an operator would. One that has to be shot, or whose log has an error in it, fails the test. */
  async end() {
    this.#child.kill('SIGTERM');
    try {
      await within(this.#exit, () => `the server to end after SIGTERM; its log:\n${this.#log}`);
    } catch (error) {
      await this.kill();
      throw error;
    }
    const { code, signal } = await this.#exit;
    assert.equal(code, 0, `exit status after SIGTERM (signal ${signal}):\n${this.#log}`);
    const errors = this.#log.split('\n').filter((line) => /\bERROR\b|panicked at/.test(line));
    assert.deepEqual(errors, [], 'errors in the log');
  }

  /** Ends it, if it still runs, and removes its data. */
  async stop() {
    try {
      if (this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null) await this.end();
    } finally {
      await rm(this.dir, { recursive: true, force: true });
    }
  }

  /** One request; JSON in, JSON out where there is any. */
  async request(method, path, { token, body, headers = {} } = {}) {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      redirect: 'manual',
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    const text = await response.text();
    const json = /^application\/(.+\+)?json\b/.test(response.headers.get('content-type') ?? '');
    return { status: response.status, headers: response.headers, text, body: json ? JSON.parse(text) : undefined };
  }

  /** Registers people by their first names; each call makes new ones. */
  people(...names) {
    return Promise.all(
      names.map(async (name) => {
        const email = `${name}.${randomUUID().slice(0, 8)}@example.org`;
        const password = `the password of ${name}`;
        const answer = await this.request('POST', '/auth/register', { body: { email, password, name } });
        assert.ok(answer.status === 200 || answer.status === 201, `register ${name}: ${answer.status} ${answer.text}`);
        return new Person(this, email, password, answer.body);
      }),
    );
  }
}

class Person {
  constructor(server, email, password, { token, user }) {
    Object.assign(this, { server, email, password, token, id: user.id, name: user.name });
  }

  /** A call of the REST interface, whatever its answer is. */
  call(method, path, body) {
    return this.server.request(method, `/api/v1${path}`, { token: this.token, body });
  }

  /** A call that must succeed: the answer's body. */
  async api(method, path, body) {
    const answer = await this.call(method, path, body);
    assert.ok(answer.status >= 200 && answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.body;
  }

  dm(other) {
    return this.api('POST', '/conversations/dm', { email: other.email });
  }

  group(title, others, more = {}) {
    return this.api('POST', '/conversations/group', { title, memberEmails: others.map((o) => o.email), ...more });
  }

  send(conversation, body, more = {}) {
    return this.api('POST', `/conversations/${conversation.id}/messages`, { clientMsgId: randomUUID(), body, ...more });
  }

  /** The whole history in `seq` order. */
  async history(conversation) {
    const all = [];
    for (;;) {
      const afterSeq = all.at(-1)?.seq ?? 0;
      const page = await this.api('GET', `/conversations/${conversation.id}/messages?afterSeq=${afterSeq}&limit=200`);
      all.push(...page.messages);
      if (!page.hasMore) return all;
      assert.notEqual(page.messages.length, 0, 'a page with more to come is not empty');
    }
  }

  /** The difference since a cursor (or everything), all its pages as one. */
  async sync(cursor) {
    let whole = null;
    for (;;) {
      const query = cursor === undefined ? '' : `?cursor=${encodeURIComponent(cursor)}`;
      const page = await this.api('GET', `/sync${query}`);
      whole = whole === null
        ? page
        : { ...page, conversations: [...whole.conversations, ...page.conversations], removed: [...whole.removed, ...page.removed] };
      if (!page.hasMore) return whole;
      cursor = page.cursor;
    }
  }

  /** A second sign-in: another session of the same person. */
  async signIn() {
    const answer = await this.server.request('POST', '/auth/login', { body: { email: this.email, password: this.password } });
    assert.equal(answer.status, 200, answer.text);
    return Object.assign(new Person(this.server, this.email, this.password, answer.body), { answer });
  }

  /** A Socket.IO client of this person, not yet told to connect. */
  device(t, options = {}) {
    return new Device(t, this.server, { auth: { token: this.token }, ...options });
  }

  /** A Socket.IO client of this person, connected. */
  async online(t, options = {}) {
    const device = this.device(t, options);
    device.socket.connect();
    await device.take('connect');
    return device;
  }

  /** A plain WebSocket of this person, after its first frame. */
  async subscribed(t) {
    const wire = new Wire(t, this.server, `?token=${this.token}`);
    wire.connected = await wire.take('connected');
    return wire;
  }
}

/** Everything that arrives, in order, and the one who waits for it. */
class Inbox {
  #seen = [];
  #waiting = new Set();

  push(name, payload) {
    this.#seen.push({ name, payload, taken: false });
    for (const look of this.#waiting) look();
  }

  /** The first event of that name (and kind) which nobody has taken yet. */
  async take(name, where = () => true, ms = DEADLINE_MS) {
    const event = await this.takeOne((e) => e.name === name && where(e.payload), name, ms);
    return event.payload;
  }

  /** The first `{name, payload}` which fits and nobody has taken yet. */
  takeOne(fits, what, ms = DEADLINE_MS) {
    let look;
    const found = new Promise((done, fail) => {
      look = () => {
        try {
          const event = this.#seen.find((e) => !e.taken && fits(e));
          if (event === undefined) return;
          event.taken = true;
          this.#waiting.delete(look);
          done(event);
        } catch (error) {
          this.#waiting.delete(look);
          fail(error);
        }
      };
      this.#waiting.add(look);
      look();
    });
    const story = () => {
      const counts = {};
      for (const event of this.#seen) counts[event.name] = (counts[event.name] ?? 0) + 1;
      return `${what}; so far: ${JSON.stringify(counts)}, last: ${this.#seen.slice(-5).map((e) => `${e.name} ${JSON.stringify(e.payload)}`.slice(0, 300)).join('\n  ')}`;
    };
    return within(found, story, ms).finally(() => this.#waiting.delete(look));
  }

  /** All that came, taken or not: `{name, payload}` in order of arrival. */
  get events() {
    return this.#seen.map(({ name, payload }) => ({ name, payload }));
  }

  /** The payloads of all events of that name. */
  all(name) {
    return this.#seen.filter((e) => e.name === name).map((e) => e.payload);
  }
}

/** A Socket.IO client with an inbox. Its own life shows there too: `connect`, `disconnect`, `connect_error`, `upgrade`. */
class Device extends Inbox {
  constructor(t, server, options) {
    super();
    this.socket = io(server.url, { forceNew: true, autoConnect: false, transports: ['websocket'], ...options });
    for (const name of ['connect', 'disconnect', 'connect_error']) {
      this.socket.on(name, (payload) => this.push(name, payload));
    }
    this.socket.io.on('open', () => {
      this.socket.io.engine.once('upgrade', (transport) => this.push('upgrade', transport.name));
    });
    this.socket.onAny((name, payload) => this.push(name, payload));
    t.after(() => this.socket.disconnect());
  }

  get transport() {
    return this.socket.io.engine.transport.name;
  }

  /** The acknowledgement as it is. */
  ask(name, payload) {
    return this.socket.timeout(DEADLINE_MS).emitWithAck(name, payload);
  }

  /** The acknowledgement of something that must succeed. */
  async do(name, payload) {
    const ack = await this.ask(name, payload);
    assert.equal(ack?.error, undefined, `${name} was refused: ${JSON.stringify(ack)}`);
    return ack;
  }

  /** The error of something that must be refused. */
  async refused(name, payload) {
    const ack = await this.ask(name, payload);
    assert.deepEqual(Object.keys(ack), ['error'], `${name} should be refused: ${JSON.stringify(ack)}`);
    return ack.error;
  }
}

/** A plain WebSocket with an inbox: frames by their type, and `close` with `{code, reason}`. */
export class Wire extends Inbox {
  #nextId = 1;

  constructor(t, server, query = '', { protocols = [], headers = {} } = {}) {
    super();
    this.ws = new WebSocket(`${server.url.replace('http', 'ws')}/messages/subscribe${query}`, protocols, { headers });
    this.ws.on('message', (data, binary) => {
      if (binary) this.push('binary', data);
      else {
        const { type, ...fields } = JSON.parse(data.toString('utf8'));
        this.push(type, fields);
      }
    });
    this.ws.on('close', (code, reason) => this.push('close', { code, reason: reason.toString('utf8') }));
    this.ws.on('unexpected-response', (request, response) => {
      this.push('http', response.statusCode);
      response.resume();
      request.destroy();
    });
    this.ws.on('error', (error) => this.push('failure', error.message));
    t.after(() => this.ws.terminate());
  }

  /** A frame without an id. */
  tell(type, fields = {}) {
    this.ws.send(JSON.stringify({ type, ...fields }));
  }

  /** A frame with an id: its answer, `ok` or `error`. */
  async ask(type, fields = {}) {
    const id = this.#nextId++;
    this.ws.send(JSON.stringify({ type, id, ...fields }));
    return this.answer(id);
  }

  /** The answer to a request: its fields and its type. */
  async answer(id) {
    const fits = (e) => (e.name === 'ok' || e.name === 'error') && e.payload.id === id;
    const { name, payload } = await this.takeOne(fits, `the answer to request ${id}`);
    return { type: name, ...payload };
  }

  /** The fields of an answer that must be `ok`. */
  async do(type, fields) {
    const { type: answered, id: _, ...rest } = await this.ask(type, fields);
    assert.equal(answered, 'ok', `${type} was refused: ${JSON.stringify(rest)}`);
    return rest;
  }

  /** The fields of an answer that must be `error`. */
  async refused(type, fields) {
    const { type: answered, id: _, ...rest } = await this.ask(type, fields);
    assert.equal(answered, 'error', `${type} should be refused: ${JSON.stringify(rest)}`);
    return rest;
  }
}

/** Exactly these names: no more, no fewer. */
export function assertKeys(thing, names) {
  assert.deepEqual(Object.keys(thing).sort(), [...names].sort());
}

export function assertId(text) {
  assert.match(text, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, 'a UUIDv7');
}

export function assertTime(text) {
  assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'RFC 3339 in UTC with milliseconds');
  assert.ok(Math.abs(Date.parse(text) - Date.now()) < 300_000, `${text} is near now`);
}

export const MESSAGE_KEYS = [
  'messageId', 'conversationId', 'seq', 'rev', 'senderId', 'senderName', 'senderAvatar', 'clientMsgId', 'body', 'createdAt',
  'editedAt', 'deletedAt', 'reactions',
];

/** A problem of RFC 9457 with our code in it. */
export function assertProblem(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get('content-type'), /^application\/problem\+json\b/);
  assert.equal(answer.body.code, code);
  assert.equal(typeof answer.body.detail, 'string');
  assert.ok(answer.headers.get('x-trace-id'), 'every answer bears X-Trace-Id');
}
