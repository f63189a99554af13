// What becomes of requests with tokens, without sockets.

import { fromEnvoyJson } from '@lateen/xds-proto';
import { JwtAuthenticationSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js';
import { type JWTPayload, SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { compileJwtFilter } from './compile.js';
import { createTokenCounts } from './jwt-filter.js';
import { admittedHead, ask, bearer, ec, ed, filterOf, ISSUER, NOW_S, outcome, rsa, signer } from './testing/issuers.js';
import { TokenVerifier } from './token-verifier.js';

describe('tokens', () => {
  it('of every algorithm are good by their own key', async () => {
    for (const alg of ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']) {
      const made = await signer(alg, 'k', alg === 'EdDSA' ? 'Ed25519' : undefined);
      const { alg: _, ...bare } = made.jwk;
      const token = await made.sign({});
      expect([alg, await outcome(filterOf({ keys: [made.jwk] }), bearer(token))]).toEqual([alg, 'ok']);
      expect([alg, await outcome(filterOf({ keys: [bare] }), bearer(token))]).toEqual([alg, 'ok']);
    }
    const secret = new Uint8Array(64).fill(7);
    const hmac = await new SignJWT({ iss: ISSUER }).setProtectedHeader({ alg: 'HS256' }).sign(secret);
    const oct = { kty: 'oct', k: Buffer.from(secret).toString('base64url') };
    expect(await outcome(filterOf({ keys: [oct] }), bearer(hmac))).toBe('ok');
  });

  it('are not needed where missing ones are allowed, and a bad one is refused all the same', async () => {
    const filter = filterOf();
    expect(await outcome(filter, [])).toBe('ok');
    expect(await outcome(filter, ['authorization: Basic eA=='])).toBe('ok');
    expect(await outcome(filter, bearer('x'))).toBe(
      '401 Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections',
    );
    const strict = filterOf({ requires: { provider_name: 'p' } });
    const refused = await ask(strict, []);
    expect(refused).toMatchObject({
      status: 401,
      body: 'Jwt is missing',
      details: 'jwt_authn_access_denied{Jwt_is_missing}',
      challenge: 'Bearer realm="http://h/a"',
    });
    expect(await ask(strict, bearer('x'))).toMatchObject({
      challenge: 'Bearer realm="http://h/a", error="invalid_token"',
    });
    expect(filter.counts).toMatchObject({ allowed: 2, denied: 1 });
  });

  it('count from nbf to exp, with a minute to spare', async () => {
    const filter = filterOf();
    const at = async (claims: JWTPayload) => outcome(filter, bearer(await rsa.sign(claims)));
    expect(await at({ exp: NOW_S - 60 })).toBe('ok');
    expect(await at({ exp: NOW_S - 61 })).toBe('401 Jwt is expired');
    expect(await at({ nbf: NOW_S + 60 })).toBe('ok');
    expect(await at({ nbf: NOW_S + 61 })).toBe('401 Jwt not yet valid');
    expect(
      await outcome(filterOf({ provider: { clock_skew_seconds: 5 } }), bearer(await rsa.sign({ exp: NOW_S - 6 }))),
    ).toBe('401 Jwt is expired');
  });

  it('that are remembered still expire, and are known by all of their text', async () => {
    const filter = filterOf();
    const verifier = new TokenVerifier();
    const token = await rsa.sign({ exp: NOW_S + 100 });
    expect(await outcome(filter, bearer(token), { verifier })).toBe('ok');
    expect(filter.counts).toMatchObject({ cacheMisses: 1, cacheHits: 0 });
    expect(await outcome(filter, bearer(token), { verifier })).toBe('ok');
    expect(filter.counts).toMatchObject({ cacheMisses: 1, cacheHits: 1 });
    expect(await outcome(filter, bearer(token), { verifier, nowS: NOW_S + 161 })).toBe('401 Jwt is expired');
    const changed = `${token.slice(0, -8)}AAAAAAAA`;
    expect(await outcome(filter, bearer(changed), { verifier })).toBe('401 Jwt verification fails');
    // Another set of keys does not believe what this one has found.
    expect(await outcome(filterOf({ keys: [ec.jwk] }), bearer(token), { verifier })).toBe(
      "401 Jwks doesn't have key to match kid or alg from Jwt",
    );
  });

  it('are for their audience and issuer', async () => {
    const filter = filterOf({ provider: { audiences: ['https://api.example/', 'b'] } });
    expect(await outcome(filter, bearer(await rsa.sign({ aud: 'api.example' })))).toBe('ok');
    expect(await outcome(filter, bearer(await rsa.sign({ aud: ['x', 'b'] })))).toBe('ok');
    expect(await outcome(filter, bearer(await rsa.sign({ aud: 'c' })))).toBe('403 Audiences in Jwt are not allowed');
    expect(await outcome(filter, bearer(await rsa.sign({})))).toBe('403 Audiences in Jwt are not allowed');
    expect(await outcome(filterOf(), bearer(await rsa.sign({ iss: 'https://issuer.example/' })))).toBe(
      '401 Jwt issuer is not configured',
    );
    expect(await outcome(filterOf(), bearer(await rsa.sign({ iss: '' })))).toBe('401 Jwt issuer is not configured');
  });

  it('are remembered within a limit, those used last longest', async () => {
    const filter = filterOf({ keys: [ed.jwk] });
    const first = await ed.sign({});
    for (const limits of [
      { tokens: 4, characters: 1e9 },
      { tokens: 1e9, characters: 2_000 },
    ]) {
      const verifier = new TokenVerifier(limits);
      for (let i = 0; i < 12; i++) {
        await outcome(filter, bearer(await ed.sign({ i, pad: 'x'.repeat(200) })), { verifier });
        await outcome(filter, bearer(first), { verifier });
      }
      expect(verifier.size).toBeLessThanOrEqual(4);
      const before = filter.counts.cacheMisses;
      await outcome(filter, bearer(first), { verifier });
      expect(filter.counts.cacheMisses).toBe(before);
    }
  });
});

describe('what goes on', () => {
  it('has no token, unless it is to', async () => {
    const token = await ec.sign({ a: { b: ['x'] }, n: 3, t: true, f: 1.5 });
    const [, payload] = token.split('.');
    const claims = ['sub', 'n', 't', 'f', 'a.b', 'a', 'missing', 'sub.x'].map((name) => ({
      header_name: `x-${name.replace('.', '-')}`,
      claim_name: name,
    }));
    const filter = filterOf({ provider: { forward_payload_header: 'x-payload', claim_to_headers: claims } });
    const head = admittedHead(await ask(filter, ['a: b', ...bearer(token)], { target: '/a?x=1&y' }));
    expect(head).toEqual([
      'GET /a?x=1&y HTTP/1.1',
      ...['host: h', 'a: b', `x-payload: ${payload}`, 'x-sub: me', 'x-n: 3', 'x-t: true', 'x-f: 1.500000'],
      `x-a-b: ${Buffer.from('["x"]').toString('base64')}`,
      `x-a: ${Buffer.from('{"b":["x"]}').toString('base64')}`,
    ]);
    const forwarding = filterOf({ provider: { forward: true } });
    const kept = await ask(forwarding, bearer(token));
    expect(kept.kind === 'admitted' && kept.head.changed).toBe(false);
  });

  it('is looked for where the issuer says', async () => {
    const token = await ed.sign({});
    const filter = filterOf({
      provider: {
        from_headers: [{ name: 'X-Jwt' }, { name: 'x-auth', value_prefix: 'Token=' }],
        from_params: ['t'],
        from_cookies: ['session'],
      },
      requires: { provider_name: 'p' },
    });
    expect(await outcome(filter, bearer(token))).toBe('401 Jwt is missing');
    expect(admittedHead(await ask(filter, [`x-JWT: ${token}`]))).toEqual(['GET /a HTTP/1.1', 'host: h']);
    expect(admittedHead(await ask(filter, [`x-auth: a Token= ${token}`]))).toEqual(['GET /a HTTP/1.1', 'host: h']);
    expect(admittedHead(await ask(filter, [], { target: `/a?b=%31&t=${token}&c` }))[0]).toBe('GET /a?b=%31&c HTTP/1.1');
    expect(admittedHead(await ask(filter, [], { target: `/a?%74=${token}#f` }))[0]).toBe('GET /a#f HTTP/1.1');
    const cookie = `cookie: a=b; session="${token}"; c=d`;
    expect(admittedHead(await ask(filter, [cookie]))).toContain(cookie);
  });

  it('has what was claimed, as metadata', async () => {
    const filter = filterOf({
      provider: { normalize_payload_in_metadata: { space_delimited_claims: ['scope'] }, clear_route_cache: true },
    });
    const decision = await ask(filter, bearer(await ed.sign({ scope: 'a  b', ['__proto__']: 'x' } as JWTPayload)));
    if (decision.kind !== 'admitted') throw new Error('refused');
    expect(decision.reroute).toBe(true);
    expect(decision.metadata.get('payload')).toMatchObject({ iss: ISSUER, scope: ['a', 'b'] });
    const missing = await ask(filter, []);
    expect(missing).toMatchObject({ reroute: false, metadata: new Map() });
  });

  it('follows the rule of its path, and preflights none', async () => {
    const strict = { requires: { provider_name: 'p' } };
    const rules = { rules: [{ match: { path: '/free' } }, { match: { prefix: '/' }, ...strict }] };
    const filter = filterOf({ extra: { ...rules, bypass_cors_preflight: true } });
    expect(await outcome(filter, [], { target: '/free?x' })).toBe('ok');
    expect(await outcome(filter, [], { target: '/free/x' })).toBe('401 Jwt is missing');
    const preflight = ['origin: o', 'access-control-request-method: PUT'];
    expect(await outcome(filter, preflight, { method: 'OPTIONS' })).toBe('ok');
    expect(await outcome(filter, preflight)).toBe('401 Jwt is missing');
    expect(filter.counts.corsPreflightBypassed).toBe(1);
  });
});

describe('several issuers', () => {
  const lenient = (name: string) => ({
    requires_any: { requirements: [{ provider_name: name }, { allow_missing: {} }] },
  });
  /** As Pilot and Istio write it for two rules. */
  const both = {
    requires_any: {
      requirements: [
        { provider_name: 'p' },
        { provider_name: 'q' },
        { requires_all: { requirements: [lenient('p'), lenient('q')] } },
      ],
    },
  };

  it('take their own tokens, and none of others', async () => {
    const filter = filterOf({ more: { q: { issuer: 'other' } }, requires: both });
    expect(await outcome(filter, [])).toBe('ok');
    expect(await outcome(filter, bearer(await rsa.sign({})))).toBe('ok');
    expect(await outcome(filter, bearer(await rsa.sign({ iss: 'other' })))).toBe('ok');
    expect(await outcome(filter, bearer(await rsa.sign({ iss: 'third' })))).toBe('401 Jwt issuer is not configured');
    expect(await outcome(filter, bearer(await rsa.sign({ iss: 'other', exp: 1 })))).toBe('401 Jwt is expired');
  });

  it('at places of their own: a token at the wrong place is none, a bad one is refused', async () => {
    const q = { issuer: 'other', from_headers: [{ name: 'x-other' }] };
    const filter = filterOf({ more: { q }, requires: both });
    expect(await outcome(filter, [`x-other: ${await rsa.sign({ iss: 'other' })}`])).toBe('ok');
    expect(await outcome(filter, [`x-other: ${await rsa.sign({})}`])).toBe('401 Jwt issuer is not configured');
    expect(await outcome(filter, bearer(await rsa.sign({ iss: 'other' })))).toBe('401 Jwt issuer is not configured');
  });
});

it('names what it does not do', () => {
  const problems: string[] = [];
  const config = fromEnvoyJson(JwtAuthenticationSchema, {
    providers: { p: { issuer: 'a', remote_jwks: { http_uri: { uri: 'http://a', cluster: 'c', timeout: '1s' } } } },
    rules: [
      { match: { safe_regex: { regex: '.*' } }, requires: { provider_name: 'q' } },
      { match: { prefix: '/', headers: [{ name: 'a' }] }, requirement_name: 'r' },
    ],
  });
  compileJwtFilter(config, {
    counts: createTokenCounts('x'),
    problem: (path, message) => problems.push(`${path} ${message}`),
  });
  expect(problems).toEqual([
    'providers["p"].local_jwks is required: keys come with the configuration and are not fetched',
    'providers["p"].local_jwks has no key that can be used',
    'rules[0].requires.provider_name "q" is no provider',
    'rules[0].match needs prefix, path or path_separated_prefix',
    'rules[1].requirement_name "r" is not in requirement_map',
    'rules[1].match only paths are supported in rules for tokens: prefix, path and path_separated_prefix',
  ]);
});
