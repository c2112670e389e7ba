// Starts the real server and a real browser. Nothing here sleeps: whoever waits, waits for an event, with a deadline.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join, resolve, sep } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const DEADLINE_MS = Number(process.env.E2E_DEADLINE_MS ?? 15_000);

const here = fileURLToPath(new URL('.', import.meta.url));
const DIST = process.env.TERTULIA_WEB_DIST ? resolve(process.env.TERTULIA_WEB_DIST) : resolve(here, '../dist');
const BINARY = resolve(process.env.TERTULIA_BIN ?? resolve(here, '../../../target/debug/tertulia'));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };

/** The same app a version later, and in a browser that gives it no files. */
const VARIANTS = {
  newer: (file, content) => (file.endsWith('/protocol.js') ? content.replace(/PROTOCOL = \d+/, 'PROTOCOL = 999') : null),
  memory: (file, content) => (file.endsWith('/worker.js') ? `delete StorageManager.prototype.getDirectory;${content}` : null),
};

/** Nothing from elsewhere, and nothing evaluated but the module. `blob:` for the worker of the tests that reads files. */
const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; connect-src 'self'; img-src data:";

/** The promise's value, or an error that says what did not come in time. */
export function within(promise, what, ms = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A server with the pages before it, on one origin; stopped when the file's tests are over. */
export async function startSite(env = {}) {
  const site = new Site(await mkdtemp(join(tmpdir(), 'tertulia-web-')), env);
  after(() => site.stop());
  await site.launch('127.0.0.1:0');
  await site.open();
  return site;
}

class Site {
  #child = null;
  #exit = null;
  #log = '';
  #http = null;
  #sockets = new Set();
  #silence = new Set();

  constructor(dir, env) {
    this.dir = dir;
    this.env = { TERTULIA_RATE_LIMITS: 'off', ...env };
    /** While it is true, whoever connects is cut off. */
    this.isCut = false;
    /** WebSockets that were asked for. */
    this.upgrades = 0;
  }

  async launch(listen) {
    if (!existsSync(BINARY)) {
      throw new Error(`no binary at ${BINARY}: run \`cargo build -p tertulia-server\`, or name one in TERTULIA_BIN`);
    }
    if (!existsSync(join(DIST, 'wasm/tertulia_bg.wasm'))) throw new Error(`nothing in ${DIST}: run \`cargo xtask web\``);
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
        since += text;
        const line = /^listening on http:\/\/127\.0\.0\.1:(\d+)$/m.exec(since);
        if (line) done(Number(line[1]));
      });
      child.once('error', fail);
      this.#exit.then(({ code, signal }) => fail(new Error(`the server ended (${signal ?? code}):\n${this.#log}`)));
    });
    this.port = await within(listening, 'the line "listening on ..."', 60_000);
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

  async open() {
    this.#http = createServer((incoming, answer) => void this.#answer(incoming, answer));
    this.#http.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#http.on('upgrade', (incoming, socket, head) => this.#upgrade(incoming, socket, head));
    await new Promise((done) => this.#http.listen(0, '127.0.0.1', done));
    this.url = `http://127.0.0.1:${this.#http.address().port}`;
  }

  async #answer(incoming, answer) {
    const { pathname } = new URL(incoming.url, this.url);
    const [, folder] = pathname.split('/');
    const own = pathname === '/' ? join(here, 'page.html') : pathname === '/page.js' ? join(here, 'page.js') : null;
    const file = own ?? (/^(client|newer|memory)$/.test(folder) ? resolve(DIST, `.${pathname.slice(pathname.indexOf('/', 1))}`) : null);
    if (file !== null) {
      const isThere = (own !== null || file.startsWith(DIST + sep)) && existsSync(file);
      answer.writeHead(isThere ? 200 : 404, {
        'content-type': TYPES[extname(file)] ?? 'text/plain',
        'content-security-policy': POLICY,
        'cache-control': 'no-cache',
      });
      const content = isThere ? await readFile(file) : '';
      const isOurs = pathname === '/page.js';
      answer.end(isOurs ? String(content).replace('15_000', String(DEADLINE_MS)) : (VARIANTS[folder]?.(file, String(content)) ?? content));
      return;
    }
    if (this.isCut) {
      incoming.socket.destroy();
      return;
    }
    const { method, url, headers } = incoming;
    const onward = request({ host: '127.0.0.1', port: this.port, method, path: url, headers }, (from) => {
      answer.writeHead(from.statusCode, from.headers);
      from.pipe(answer);
    });
    onward.on('error', () => incoming.socket.destroy());
    incoming.pipe(onward);
  }

  #upgrade(incoming, socket, head) {
    this.upgrades += 1;
    if (this.isCut) {
      socket.destroy();
      return;
    }
    const onward = connect(this.port, '127.0.0.1', () => {
      const lines = [`${incoming.method} ${incoming.url} HTTP/1.1`];
      for (let at = 0; at < incoming.rawHeaders.length; at += 2) {
        lines.push(`${incoming.rawHeaders[at]}: ${incoming.rawHeaders[at + 1]}`);
      }
      onward.write(`${lines.join('\r\n')}\r\n\r\n`);
      onward.write(head);
      onward.pipe(socket).pipe(onward);
      this.#silence.add(() => onward.unpipe(socket));
    });
    onward.on('error', () => socket.destroy());
    onward.on('close', () => socket.destroy());
    socket.on('error', () => onward.destroy());
    socket.on('close', () => onward.destroy());
  }

  /** What the server says over the connections there are does not arrive any more; what is said to it does. */
  silence() {
    for (const silence of this.#silence) silence();
    this.#silence.clear();
  }

  /** The network between browser and server is gone; pages still come, as from a service worker. */
  cut() {
    this.isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.isCut = false;
  }

  async stop() {
    for (const socket of this.#sockets) socket.destroy();
    this.#http?.close();
    try {
      if (this.#child.exitCode === null && this.#child.signalCode === null) {
        this.#child.kill('SIGTERM');
        const { code } = await within(this.#exit, `the server to end; its log:\n${this.#log}`);
        assert.equal(code, 0, this.#log);
      }
      const errors = this.#log.split('\n').filter((line) => /\bERROR\b|panicked at/.test(line));
      assert.deepEqual(errors, [], 'errors in the log');
    } finally {
      this.#child.kill('SIGKILL');
      await rm(this.dir, { recursive: true, force: true });
    }
  }
}

let browser = null;

function launching() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  if (!existsSync(executablePath)) throw new Error(`no browser at ${executablePath}: run \`cargo xtask setup\`, or name one in CHROMIUM`);
  return { executablePath, headless: true, args: ['--no-sandbox', '--disable-gpu'] };
}

/** One browser for all tests of a file. */
export async function startBrowser() {
  browser ??= await chromium.launch(launching());
  after(async () => {
    await browser?.close();
    browser = null;
  });
  return browser;
}

/** A browser profile of somebody: what tabs share. */
export class Person {
  static #number = 0;

  /** `isPrivate`: as in a private window, where the browser's files are kept by another process. Otherwise with a folder of its own, as people have it. */
  static async begin(site, name, { isPrivate = true } = {}) {
    const person = new Person();
    person.site = site;
    person.name = name;
    person.email = `${name.toLowerCase()}${++Person.#number}@example.org`;
    person.folder = isPrivate ? null : await mkdtemp(join(tmpdir(), 'tertulia-profile-'));
    person.context = isPrivate ? await browser.newContext() : await chromium.launchPersistentContext(person.folder, launching());
    person.context.setDefaultTimeout(DEADLINE_MS);
    person.log = [];
    return person;
  }

  /** A tab with the client open as `chat`. `path`: `/?newer` or `/?memory` for another variant of it. */
  async tab({ options = {}, path = '/' } = {}) {
    const page = await this.context.newPage();
    page.on('console', (line) => this.log.push(`${line.type()}: ${line.text()}`));
    page.on('pageerror', (error) => this.log.push(`error: ${error.message}`));
    await page.goto(this.site.url + path);
    await this.ready(page, options);
    return page;
  }

  async ready(page, options = {}) {
    await page.waitForFunction(() => window.isReady);
    await page.evaluate((options) => void (window.chat = window.openTertulia(options)), options);
  }

  /** Makes the account, and waits until everything is here. */
  async register(page) {
    await page.evaluate(([email, name]) => chat.rest.register(email, 'correct horse battery', name), [this.email, this.name]);
    await this.caughtUp(page);
  }

  caughtUp(page) {
    return page.evaluate(() => until(chat.connection, (now) => now.state === 'connected' && now.caughtUp, 'the connection').then(() => {}));
  }

  async end() {
    await this.context.close();
    if (this.folder !== null) await rm(this.folder, { recursive: true, force: true });
  }
}

/** Two people, each with a tab, and their conversation. */
export async function pair(site, options = {}) {
  const [alice, bob] = [await Person.begin(site, 'Alice'), await Person.begin(site, 'Bob')];
  const [a, b] = [await alice.tab(options), await bob.tab()];
  await alice.register(a);
  await bob.register(b);
  const dm = await openDm(a, bob.email);
  await b.evaluate((dm) => until(chat.conversation(dm), (here) => here !== null, 'the conversation').then(() => {}), dm);
  return { alice, bob, a, b, dm };
}

/** The bodies of a conversation in the server's log. */
export function logOf(page, conversation) {
  return page.evaluate(async (id) => {
    const bodies = [];
    for (let after = 0; ; ) {
      const answer = await (await fetch(`/api/v1/conversations/${id}/messages?afterSeq=${after}&limit=200`)).json();
      bodies.push(...answer.messages.map((message) => message.body));
      if (!answer.hasMore) return bodies;
      after = answer.messages.at(-1).seq;
    }
  }, conversation);
}

/** A conversation of the two. */
export async function openDm(page, email) {
  return page.evaluate(async (email) => {
    const id = await chat.rest.openDm({ email });
    await until(chat.conversation(id), (here) => here !== null, 'the conversation');
    window.dm = id;
    return id;
  }, email);
}

/** The bodies of a conversation on show, once they are as many. */
export function bodiesOf(page, conversation, count) {
  return page.evaluate(
    async ([id, count]) => {
      window.lines ??= new Map();
      if (!lines.has(id)) lines.set(id, chat.timeline(id));
      return bodies(await until(lines.get(id), (view) => view.messages.length >= count, `${count} messages`));
    },
    [conversation, count],
  );
}
