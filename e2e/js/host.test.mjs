// The host app's users: its tokens by shared secret and by published keys, and its server by API key.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import { assertProblem, startServer } from './harness.mjs';

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

/** A key pair of the host app, as it signs and as it publishes. */
class Key {
  static #count = 0;

  constructor(alg) {
    const [type, options] = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}] }[alg];
    this.alg = alg;
    this.kid = `key-${(Key.#count += 1)}`;
    this.privateKey = generateKeyPairSync(type, options).privateKey;
  }

  get published() {
    return { ...createPublicKey(this.privateKey).export({ format: 'jwk' }), kid: this.kid, alg: this.alg, use: 'sig' };
  }

  token(claims) {
    const signed = `${encode({ alg: this.alg, typ: 'JWT', kid: this.kid })}.${encode({ exp: inAnHour(), ...claims })}`;
    const digest = this.alg === 'EdDSA' ? null : 'sha256';
    const signature = sign(digest, Buffer.from(signed), { key: this.privateKey, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }
}

/** Serves the keys it holds and counts how often it was asked. */
async function startIssuer() {
  const issuer = { keys: [], asked: 0 };
  const http = createServer((_, response) => {
    issuer.asked += 1;
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: issuer.keys.map((key) => key.published) }));
  });
  await new Promise((listening) => http.listen(0, '127.0.0.1', listening));
  after(() => http.close());
  issuer.url = `http://127.0.0.1:${http.address().port}/jwks.json`;
  return issuer;
}

const issuer = await startIssuer();
const secret = 'a secret of the host app, 32 bytes at the very least';
const shop = { iss: 'https://shop.example', aud: 'tertulia' };
const published = await startServer({
  TERTULIA_AUTH__HOST_JWKS_URL: issuer.url,
  TERTULIA_AUTH__HOST_ISSUER: shop.iss,
  TERTULIA_AUTH__HOST_AUDIENCE: shop.aud,
});
const shared = await startServer({ TERTULIA_AUTH__HOST_SECRET: secret });

test("a token signed with the shared secret makes its person a user, the same one each time", async () => {
  const mint = (claims, key = secret) => {
    const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ exp: inAnHour(), ...claims })}`;
    return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
  };
  const me = (token) => shared.request('GET', '/api/v1/me', { token });
  const first = await me(mint({ sub: 'customer-7', name: 'Carol', email: 'carol@shop.example' }));
  assert.equal(first.status, 200, first.text);
  assert.equal(first.body.name, 'Carol');
  const again = await me(mint({ sub: 'customer-7', name: 'Carol C.' }));
  assert.equal(again.body.id, first.body.id);
  assert.equal(again.body.name, 'Carol C.');
  assert.notEqual((await me(mint({ sub: 'customer-8', name: 'Dan' }))).body.id, first.body.id);
  assertProblem(await me(mint({ sub: 'customer-7' }, 'another secret that is long enough too')), 401, 'unauthenticated');
  assertProblem(await me(mint({ sub: 'customer-7', exp: 1 })), 401, 'unauthenticated');
});

for (const alg of ['RS256', 'ES256', 'EdDSA']) {
  test(`a token signed with a published key (${alg}) is taken, on REST and on a socket`, async (t) => {
    const key = new Key(alg);
    issuer.keys = [key];
    const server = await startServer({ TERTULIA_AUTH__HOST_JWKS_URL: issuer.url, TERTULIA_AUTH__HOST_AUDIENCE: 'tertulia' });
    const token = key.token({ ...shop, sub: `person of ${alg}`, name: 'Erin' });
    const me = await server.request('GET', '/api/v1/me', { token });
    assert.equal(me.status, 200, me.text);
    const { Wire } = await import('./harness.mjs');
    const wire = new Wire(t, server, '', { headers: { authorization: `Bearer ${token}` } });
    assert.equal((await wire.take('connected')).userId, me.body.id);
    assertProblem(await server.request('GET', '/api/v1/me', { token: key.token({ ...shop, aud: 'elsewhere', sub: 'x' }) }), 401, 'unauthenticated');
    assertProblem(await server.request('GET', '/api/v1/me', { token: new Key(alg).token({ ...shop, sub: 'x' }) }), 401, 'unauthenticated');
  });
}

test('signing out ends a token of the host app too', async () => {
  const key = new Key('ES256');
  issuer.keys = [key];
  const token = key.token({ ...shop, sub: 'who leaves', name: 'Frank' });
  const server = await startServer({ TERTULIA_AUTH__HOST_JWKS_URL: issuer.url, TERTULIA_AUTH__HOST_AUDIENCE: 'tertulia' });
  assert.equal((await server.request('GET', '/auth/verify', { token })).status, 200);
  assert.ok([200, 204].includes((await server.request('POST', '/auth/logout', { token })).status));
  assertProblem(await server.request('GET', '/auth/verify', { token }), 401, 'unauthenticated');
});

test('many tokens with a key nobody knows do not make the server ask again and again', async () => {
  issuer.keys = [new Key('ES256')];
  const before = issuer.asked;
  const stranger = new Key('ES256');
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, n) => published.request('GET', '/api/v1/me', { token: stranger.token({ ...shop, sub: `s${n}` }) })),
  );
  for (const answer of answers) assertProblem(answer, 401, 'unauthenticated');
  assert.ok(issuer.asked - before <= 1, `asked ${issuer.asked - before} times`);
});

test("the host's server mints tokens and acts for people, within its key's scopes", async () => {
  const key = (scopes) => {
    const printed = execFileSync(published.bin ?? process.env.TERTULIA_BIN ?? '../target/debug/tertulia', [
      'apikey', 'create', '--data', published.dir, '--name', 'shop', '--scopes', scopes,
    ]);
    return printed.toString().trim().split('\n').at(-1);
  };
  const minting = key('tokens:write');
  const minted = await published.request('POST', '/api/v1/tokens', { token: minting, body: { email: 'gina@shop.example', name: 'Gina' } });
  assert.equal(minted.status, 201, minted.text);
  assert.equal((await published.request('GET', '/api/v1/me', { token: minted.body.token })).body.name, 'Gina');
  await published.request('POST', '/api/v1/tokens', { token: minting, body: { email: 'hal@shop.example', name: 'Hal' } });

  const chatting = key('chat:read,chat:write');
  const headers = { 'tertulia-user': 'gina@shop.example' };
  const dm = await published.request('POST', '/api/v1/conversations/dm', { token: chatting, headers, body: { email: 'hal@shop.example' } });
  assert.equal(dm.status, 201, dm.text);
  const said = await published.request('POST', `/api/v1/conversations/${dm.body.id}/messages`, {
    token: chatting, headers, body: { clientMsgId: 'order-7', body: 'your order has left' },
  });
  assert.equal(said.body.senderName, 'Gina');
  assertProblem(await published.request('GET', '/api/v1/me', { token: chatting, headers }), 403, 'forbidden');
  assertProblem(await published.request('POST', '/api/v1/tokens', { token: chatting, body: { email: 'x@shop.example' } }), 403, 'forbidden');
  assertProblem(await published.request('GET', '/api/v1/conversations', { token: chatting }), 400, 'invalid');
  assertProblem(await published.request('GET', '/api/v1/conversations', { token: `${chatting.slice(0, -1)}x`, headers }), 401, 'unauthenticated');
});
