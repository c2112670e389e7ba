// Firefox, driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/), which it speaks by itself: only what the smoke test needs.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { within } from './harness.mjs';

/** Firefox with a profile of its own, on the disk. */
export class Firefox {
  #socket;
  #number = 0;
  #waiting = new Map();

  static async start() {
    const path = process.env.FIREFOX ?? '/usr/bin/firefox-esr';
    if (!existsSync(path)) throw new Error(`no Firefox at ${path}: run \`cargo xtask setup\`, or name one in FIREFOX`);
    const firefox = new Firefox();
    firefox.folder = await mkdtemp(join(tmpdir(), 'tertulia-firefox-'));
    const args = ['--headless', '--no-remote', '--profile', firefox.folder, '--remote-debugging-port', '0', 'about:blank'];
    firefox.child = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: firefox.folder } });
    const orphan = () => firefox.child.kill('SIGKILL');
    process.once('exit', orphan);
    firefox.exit = new Promise((done) => firefox.child.once('exit', done)).then(() => process.off('exit', orphan));
    let said = '';
    firefox.child.stderr.setEncoding('utf8');
    const listening = new Promise((done, fail) => {
      firefox.child.stderr.on('data', (text) => {
        said += text;
        const line = /WebDriver BiDi listening on (ws:\S+)/.exec(said);
        if (line) done(line[1]);
      });
      firefox.child.once('error', fail);
      firefox.child.once('exit', () => fail(new Error(`Firefox ended:\n${said}`)));
    });
    const url = await within(listening, 'Firefox', 60_000);
    firefox.#socket = new WebSocket(`${url}/session`);
    await within(new Promise((done, fail) => Object.assign(firefox.#socket, { onopen: done, onerror: fail })), 'its socket');
    firefox.#socket.onmessage = ({ data }) => firefox.#hear(JSON.parse(data));
    await firefox.say('session.new', { capabilities: {} });
    return firefox;
  }

  say(method, params) {
    const id = ++this.#number;
    const answered = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#socket.send(JSON.stringify({ id, method, params }));
    return within(answered, method, 60_000);
  }

  #hear(message) {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.type === 'success') waiting?.resolve(message.result);
    else waiting?.reject(new Error(`${message.error}: ${message.message}`));
  }

  /** A tab whose cookies and files only those share that name the same person. */
  async tab(person, url) {
    const { context } = await this.say('browsingContext.create', { type: 'tab', userContext: person });
    const tab = new Tab(this, context);
    await tab.goto(url);
    return tab;
  }

  async person() {
    return (await this.say('browser.createUserContext', {})).userContext;
  }

  async end() {
    await this.say('browser.close', {}).catch(() => {});
    const late = setTimeout(() => this.child.kill('SIGKILL'), 10_000);
    await this.exit;
    clearTimeout(late);
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Tab {
  constructor(firefox, context) {
    Object.assign(this, { firefox, context });
  }

  goto(url) {
    return this.firefox.say('browsingContext.navigate', { context: this.context, url, wait: 'complete' });
  }

  reload() {
    return this.firefox.say('browsingContext.reload', { context: this.context, wait: 'complete' });
  }

  close() {
    return this.firefox.say('browsingContext.close', { context: this.context });
  }

  /** What the function gives in the page, as JSON. */
  async evaluate(run, argument = null) {
    const functionDeclaration = `async (given) => JSON.stringify((await (${run})(JSON.parse(given))) ?? null)`;
    const { result, exceptionDetails } = await this.firefox.say('script.callFunction', {
      functionDeclaration,
      awaitPromise: true,
      target: { context: this.context },
      arguments: [{ type: 'string', value: JSON.stringify(argument) }],
    });
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return JSON.parse(result.value);
  }
}
