// Who may come in, and what happens to open doors when somebody signs out.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertKeys, assertProblem, assertTime, startServer } from './harness.mjs';

const server = await startServer();

test('no token or a bad one is a connect_error with the code', async (t) => {
  const [alice] = await server.people('alice');
  const [head, claims, signature] = alice.token.split('.');
  const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(claims, 'base64url')), exp: 9_999_999_999 })).toString('base64url');
  const unsigned = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url');
  const left = await alice.signIn();
  await server.request('POST', '/auth/logout', { token: left.token });

  for (const transports of [['websocket'], ['polling']]) {
    for (const [what, auth] of [
      ['no token', {}],
      ['null', { token: null }],
      ['a number', { token: 7 }],
      ['nonsense', { token: 'nonsense' }],
      ['a changed claim', { token: `${head}.${forged}.${signature}` }],
      ['no signature', { token: `${unsigned}.${claims}.` }],
      ['a session that has ended', { token: left.token }],
    ]) {
      const device = alice.device(t, { transports, auth });
      device.socket.connect();
      const { name, payload } = await device.takeOne((e) => e.name === 'connect_error' || e.name === 'connect', 'the refusal');
      assert.equal(name, 'connect_error', what);
      const told = `${payload.message} ${payload.data?.code ?? ''}`;
      assert.match(told, /\bunauthenticated\b/, what);
      assert.equal(device.socket.connected, false);
    }
  }
});

test('registering, signing in, verifying and renewing', async () => {
  const email = `alice.${Date.now()}@example.org`;
  const registered = await server.request('POST', '/auth/register', { body: { email, password: 'long enough', name: 'alice' } });
  assertKeys(registered.body, ['token', 'expiresAt', 'user']);
  assert.equal(registered.body.user.email, email);
  assert.equal(registered.body.user.name, 'alice');
  const claims = JSON.parse(Buffer.from(registered.body.token.split('.')[1], 'base64url'));
  assert.equal(claims.sub, registered.body.user.id);
  assert.equal(claims.email, email);
  assert.equal(claims.name, 'alice');
  assert.ok(Math.abs(claims.exp - Date.parse(registered.body.expiresAt) / 1000) <= 1, 'expiresAt says what the token says');

  assertProblem(await server.request('POST', '/auth/register', { body: { email, password: 'long enough', name: 'eve' } }), 409, 'conflict');
  const wrong = await server.request('POST', '/auth/login', { body: { email, password: 'wrong but long' } });
  assertProblem(wrong, 401, 'unauthenticated');
  const unknown = await server.request('POST', '/auth/login', { body: { email: `nobody.${email}`, password: 'wrong but long' } });
  assertProblem(unknown, 401, 'unauthenticated');
  assert.equal(unknown.body.detail, wrong.body.detail, 'the answer does not say who has an account');

  const login = await server.request('POST', '/auth/login', { body: { email, password: 'long enough' } });
  assert.equal(login.status, 200);
  assertKeys(login.body, ['token', 'expiresAt', 'user']);
  assert.equal(login.body.user.id, registered.body.user.id);
  const renewed = await server.request('POST', '/auth/refresh', { token: login.body.token });
  assert.equal(renewed.status, 200, renewed.text);
  for (const token of [login.body.token, renewed.body.token]) {
    const verified = await server.request('GET', '/auth/verify', { token });
    assert.equal(verified.status, 200);
    assert.ok(verified.text.includes(login.body.user.id));
  }
  assertProblem(await server.request('GET', '/auth/verify', { token: 'nonsense' }), 401, 'unauthenticated');
  assertProblem(await server.request('GET', '/auth/verify'), 401, 'unauthenticated');
  assertProblem(await server.request('GET', '/api/v1/me'), 401, 'unauthenticated');
});

test('signing out closes the open sockets of that session and of no other', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const other = await alice.signIn();
  const dm = await alice.dm(bob);
  const wire = await alice.subscribed(t);
  const phone = await alice.online(t);
  const polling = await alice.online(t, { transports: ['polling'] });
  const otherWire = await other.subscribed(t);
  const otherPhone = await other.online(t);

  const left = await server.request('POST', '/auth/logout', { token: alice.token });
  assert.ok(left.status === 200 || left.status === 204, left.text);
  assert.equal((await wire.take('close')).code, 4401);
  for (const device of [phone, polling]) {
    assert.equal(await device.take('disconnect'), 'io server disconnect', 'the reason after which a client does not come back by itself');
  }
  assertProblem(await alice.call('GET', '/me'), 401, 'unauthenticated');

  await bob.send(dm, 'are you still there?');
  assert.equal((await otherWire.take('message.new')).body, 'are you still there?');
  assert.equal((await otherPhone.take('message:new')).body, 'are you still there?');
  assert.deepEqual([...phone.all('message:new'), ...polling.all('message:new'), ...wire.all('message.new')], []);
  assert.equal((await other.call('GET', '/me')).status, 200);
});

test('a browser session lives in a cookie, and unsafe methods need a same-origin Origin', async (t) => {
  const [alice, bob] = await server.people('alice', 'bob');
  const { answer } = await alice.signIn();
  const set = answer.headers.getSetCookie().find((c) => c.startsWith('tertulia_session='));
  assert.ok(set, 'signing in sets the cookie');
  const attributes = set.split(';').slice(1).map((a) => a.trim().toLowerCase());
  for (const attribute of ['httponly', 'samesite=lax', 'path=/', `max-age=${7 * 24 * 3600}`]) assert.ok(attributes.includes(attribute), `${attribute} in ${set}`);
  assert.ok(!attributes.includes('secure'), 'Secure is for TLS alone');
  const Cookie = set.split(';')[0];
  const Origin = server.url;
  const me = (method, headers, body) => server.request(method, '/api/v1/me', { headers, body });

  const read = await me('GET', { Cookie });
  assert.equal(read.status, 200, 'reading needs no Origin');
  assert.equal(read.body.id, alice.id);
  for (const headers of [
    { Cookie },
    { Cookie, Origin: 'http://evil.example' },
    { Cookie, Origin: `${server.url}.evil.example` },
    { Cookie, Origin: `http://127.0.0.1:${server.port === 1 ? 2 : 1}` },
    { Cookie, Origin: `https://127.0.0.1:${server.port}` },
    { Cookie, Origin: 'null' },
  ]) {
    assertProblem(await me('PATCH', headers, { name: 'mallory' }), 403, 'forbidden');
    assertProblem(await server.request('POST', '/auth/logout', { headers }), 403, 'forbidden');
    assertProblem(await server.request('POST', '/api/v1/conversations/dm', { headers, body: { email: bob.email } }), 403, 'forbidden');
  }
  assert.equal((await me('GET', { Cookie })).body.name, 'alice');
  const renamed = await me('PATCH', { Cookie, Origin }, { name: 'alice the first' });
  assert.equal(renamed.status, 200, renamed.text);
  assert.equal(renamed.body.name, 'alice the first');
  const bearer = await server.request('PATCH', '/api/v1/me', { token: alice.token, body: { name: 'alice' } });
  assert.equal(bearer.status, 200, 'a Bearer token needs no Origin');

  for (const transports of [['websocket'], ['polling']]) {
    const page = await alice.online(t, { transports, auth: {}, extraHeaders: { Cookie, Origin } });
    page.socket.disconnect();
    const evil = alice.device(t, { transports, auth: {}, reconnection: false, extraHeaders: { Cookie, Origin: 'http://evil.example' } });
    evil.socket.connect();
    const { name } = await evil.takeOne((e) => e.name === 'connect_error' || e.name === 'connect', 'the refusal');
    assert.equal(name, 'connect_error', 'a page of another origin cannot ride on the cookie');
  }

  const out = await server.request('POST', '/auth/logout', { headers: { Cookie, Origin } });
  assert.ok(out.status === 200 || out.status === 204, out.text);
  const cleared = out.headers.getSetCookie().find((c) => c.startsWith('tertulia_session='));
  assert.match(cleared ?? '', /max-age=0|expires=Thu, 01 Jan 1970/i, 'the cookie is taken back');
  assertProblem(await me('GET', { Cookie }), 401, 'unauthenticated');
});

test('every answer bears a trace id, the one of the request where there is one', async () => {
  const [alice] = await server.people('alice');
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  const traced = await server.request('GET', '/api/v1/me', { token: alice.token, headers: { traceparent: `00-${trace}-00f067aa0ba902b7-01` } });
  assert.equal(traced.headers.get('x-trace-id'), trace);
  const own = await server.request('GET', '/api/v1/me', { token: alice.token, headers: { traceparent: 'nonsense' } });
  assert.match(own.headers.get('x-trace-id'), /^[0-9a-f]{32}$/);
  assertTime((await alice.api('GET', '/me')).createdAt);
});
