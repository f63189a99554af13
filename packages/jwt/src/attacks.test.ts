// Tokens that are made to get through: none does.

import { createHmac, createPublicKey, createSign, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { admittedHead, ask, base64, bearer, ec, filterOf, ISSUER, outcome, rsa, signer } from './testing/issuers.js';

describe('attacks', () => {
  it('by the algorithm', async () => {
    const filter = filterOf();
    const payload = base64({ iss: ISSUER, sub: 'admin' });
    for (const alg of ['none', 'None', 'NONE', '', 'HS1', 'RSA-OAEP']) {
      expect(await outcome(filter, bearer(`${base64({ alg })}.${payload}.AAAA`))).toBe(
        '401 Jwt header [alg] is not supported',
      );
    }
    // No signature at all is no token.
    expect(await outcome(filter, bearer(`${base64({ alg: 'none' })}.${payload}.`))).toMatch(
      /^401 Jwt is not in the form/,
    );
    expect(await outcome(filter, bearer(`${base64({})}.${payload}.AAAA`))).toBe(
      '401 Jwt header [alg] field is required and must be a string',
    );
    // The public key, which everybody has, as the secret of a HMAC: in each way in which it could be spelled.
    for (const withAlg of [true, false]) {
      const { alg: _, ...bare } = rsa.jwk;
      const keys = [withAlg ? rsa.jwk : bare];
      const key = createPublicKey({ key: rsa.jwk as never, format: 'jwk' });
      const forms = [
        key.export({ type: 'spki', format: 'pem' }),
        key.export({ type: 'spki', format: 'der' }),
        Buffer.from(rsa.jwk.n!, 'base64url'),
        JSON.stringify(rsa.jwk),
        '',
      ];
      for (const form of forms) {
        const signed = `${base64({ alg: 'HS256', kid: 'r' })}.${payload}`;
        const forged = `${signed}.${createHmac('sha256', form).update(signed).digest('base64url')}`;
        expect(await outcome(filterOf({ keys }), bearer(forged))).toBe(
          withAlg ? "401 Jwks doesn't have key to match kid or alg from Jwt" : '401 Jwt verification fails',
        );
      }
    }
    // A key of another type under the same name.
    const { alg: _, ...bareEc } = ec.jwk;
    const confused = await rsa.sign({}, { kid: 'e' });
    expect(await outcome(filterOf({ keys: [bareEc] }), bearer(confused))).toBe('401 Jwt verification fails');
  });

  it('by headers that only good tokens set', async () => {
    const filter = filterOf({
      more: {
        q: { issuer: 'https://other.example', claim_to_headers: [{ header_name: 'X-Role', claim_name: 'role' }] },
      },
      requires: { requires_any: { requirements: [{ provider_name: 'p' }, { provider_name: 'q' }] } },
      extra: { bypass_cors_preflight: true },
    });
    // A good token of one issuer says nothing about what the headers of another say.
    const forged = ['x-role: admin', ...bearer(await rsa.sign({}))];
    expect(admittedHead(await ask(filter, forged)).join()).not.toContain('admin');
    // A preflight carries no token, and neither does what no rule is for.
    const preflight = ['origin: http://x', 'access-control-request-method: PUT', 'x-role: admin'];
    expect(admittedHead(await ask(filter, preflight, { method: 'OPTIONS' })).join()).not.toContain('admin');
    const open = filterOf({
      provider: { forward_payload_header: 'X-Payload' },
      extra: { rules: [{ match: { prefix: '/closed' }, requires: { provider_name: 'p' } }] },
    });
    expect(admittedHead(await ask(open, ['x-payload: forged']))).toEqual(['GET /a HTTP/1.1', 'host: h']);
  });

  it('by calling what a good token sets a header of the hop', async () => {
    const filter = filterOf({ provider: { claim_to_headers: [{ header_name: 'X-Sub', claim_name: 'sub' }] } });
    const lines = ['connection: close, X-SUB', 'connection: x-sub', ...bearer(await rsa.sign({}))];
    expect(admittedHead(await ask(filter, lines)).slice(2)).toEqual(['connection: close', 'x-sub: me']);
    // What the client itself sent under that name is not seen with it.
    const forged = ['connection: x-sub', 'x-sub: admin', ...bearer(await rsa.sign({}))];
    expect(admittedHead(await ask(filter, forged)).slice(2)).toEqual(['x-sub: me']);
  });

  it('by naming keys', async () => {
    const filter = filterOf();
    const attacker = await signer('RS256', 'r', undefined, generateKeyPairSync('rsa', { modulusLength: 2048 }));
    // Keys that a token brings itself, or says where to fetch, are nobody's.
    for (const header of [
      { jwk: attacker.jwk },
      { jku: 'http://127.0.0.1:1/keys' },
      { x5u: 'http://127.0.0.1:1/c' },
      { kid: 'r' },
    ]) {
      expect(await outcome(filter, bearer(await attacker.sign({}, header)))).toBe('401 Jwt verification fails');
    }
    for (const kid of ['../../etc/passwd', "' OR '1'='1", '__proto__', 'constructor', 'r\0', 'R']) {
      expect(await outcome(filter, bearer(await rsa.sign({}, { kid })))).toBe(
        "401 Jwks doesn't have key to match kid or alg from Jwt",
      );
    }
    const numbered = `${base64({ alg: 'RS256', kid: 1 })}.${base64({ iss: ISSUER })}.AAAA`;
    expect(await outcome(filter, bearer(numbered))).toBe('401 Jwt header [kid] field is not a string');
    // Keys that are for something else, or for nothing, are none.
    for (const keys of [
      [],
      [{ ...rsa.jwk, use: 'enc' }],
      [{ ...ec.jwk, alg: 'RS256' }],
      [{ kty: 'RSA' }],
      ['x', null],
    ]) {
      expect(() => filterOf({ keys })).toThrow('has no key that can be used');
    }
  });

  it('by the form of a token', async () => {
    const filter = filterOf();
    const good = await rsa.sign({});
    const [header, payload, signature] = good.split('.') as [string, string, string];
    const form = /^401 Jwt is not in the form/;
    for (const token of ['a.b', 'a.b.c.d', '..', 'a..c', `${good}.`, `.${good}`]) {
      expect(await outcome(filter, bearer(token))).toMatch(form);
    }
    expect(await outcome(filter, bearer(`!${header}.${payload}.${signature}`))).toBe('ok');
    expect(await outcome(filter, bearer(`${header}!.${payload}.${signature}`))).toBe(
      '401 Jwt header is an invalid Base64url encoded',
    );
    expect(await outcome(filter, bearer(`${header}.${payload}=.${signature}`))).toBe(
      '401 Jwt payload is an invalid Base64url encoded',
    );
    expect(await outcome(filter, bearer(`${header}.${payload}.${signature} x`))).toBe(
      '401 Jwt signature is an invalid Base64url encoded',
    );
    const made = (head: unknown, body: unknown) => bearer(`${base64(head)}.${base64(body)}.AAAA`);
    expect(await outcome(filter, made('{', {}))).toBe('401 Jwt header is an invalid JSON');
    expect(await outcome(filter, made({ alg: 'RS256' }, '[]'))).toBe('401 Jwt payload is an invalid JSON');
    expect(await outcome(filter, made({ alg: 'RS256' }, `${'['.repeat(20_000)}${']'.repeat(20_000)}`))).toBe(
      '401 Jwt payload is an invalid JSON',
    );
    expect(await outcome(filter, made({ alg: 'RS256' }, `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`))).toBe(
      '401 Jwt payload is an invalid JSON',
    );
    for (const [claims, text] of [
      [{ iss: 1 }, 'Jwt payload [iss] field is not a string'],
      [{ sub: {} }, 'Jwt payload [sub] field is not a string'],
      [{ exp: 'x' }, 'Jwt payload [exp] field is not an integer'],
      [{ exp: -1 }, 'Jwt payload [exp] field is not a positive 64 bit integer'],
      [{ nbf: 1e30 }, 'Jwt payload [nbf] field is not a positive 64 bit integer'],
      [{ aud: [1] }, 'Jwt payload [aud] field is not a string or string list'],
    ] as const) {
      expect(await outcome(filter, made({ alg: 'RS256' }, claims))).toBe(`401 ${text}`);
    }
    // The largest head that a listener takes.
    expect(await outcome(filter, bearer(`${header}.${'A'.repeat(60_000)}.${signature}`))).toBe(
      '401 Jwt payload is an invalid JSON',
    );
  });

  it('by extensions that nobody here knows', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const filter = filterOf({ keys: [publicKey.export({ format: 'jwk' })] });
    const signed = async (header: Record<string, unknown>) => {
      const text = `${base64({ alg: 'RS256', ...header })}.${base64({ iss: ISSUER })}`;
      return outcome(filter, bearer(`${text}.${createSign('sha256').update(text).sign(privateKey, 'base64url')}`));
    };
    expect(await signed({})).toBe('ok');
    expect(await signed({ crit: ['exp'], exp: 1 })).toBe('401 Jwt verification fails');
    expect(await signed({ crit: [] })).toBe('401 Jwt verification fails');
    expect(await signed({ crit: ['b64'], b64: false })).toBe('401 Jwt verification fails');
  });

  it('by several tokens at once', async () => {
    const good = await rsa.sign({});
    const bad = `${good.slice(0, -8)}AAAAAAAA`;
    const failed = '401 Jwt verification fails';
    const other = filterOf({ provider: { from_headers: [{ name: 'x-jwt' }] } });
    // A good one does not excuse a bad one, wherever the two are.
    expect(await outcome(other, [`x-jwt: ${good}`, `x-jwt: ${bad}`])).toBe(failed);
    expect(await outcome(other, [`x-jwt: ${bad}`, `x-jwt: ${good}`])).toBe(failed);
    expect(await outcome(other, [`x-jwt: ${good}`, `x-jwt: ${good}`])).toBe('ok');
    const filter = filterOf();
    expect(await outcome(filter, [...bearer(good), ...bearer(good)])).toMatch(/^401 Jwt is not in the form/);
    expect(await outcome(filter, bearer(good), { target: `/a?access_token=${bad}` })).toBe(failed);
    expect(await outcome(filter, bearer(bad), { target: `/a?access_token=${good}` })).toBe(failed);
    expect(await outcome(filter, bearer(good), { target: `/a?access_token=${good}` })).toBe('ok');
    // One header with two tokens is one token that is none.
    expect(await outcome(filter, bearer(`${good}, Bearer ${good}`))).toMatch(/^401 Jwt is not in the form/);
  });

  it('by headers that only a good token may set', async () => {
    const filter = filterOf({
      provider: {
        forward_payload_header: 'X-Payload',
        claim_to_headers: [{ header_name: 'x-sub', claim_name: 'sub' }],
      },
    });
    const forged = ['x-payload: e30', 'X-Sub: admin', 'x-sub: root'];
    const without = await ask(filter, forged);
    expect(admittedHead(without)).toEqual(['GET /a HTTP/1.1', 'host: h']);
    const withToken = await ask(filter, [...forged, ...bearer(await rsa.sign({ name: 'a\r\nx-evil: 1' }))]);
    expect(admittedHead(withToken)).toContain('x-sub: me');
    expect(admittedHead(withToken).filter((line) => /^x-(sub|payload)/i.test(line))).toHaveLength(2);
    const splitting = filterOf({ provider: { claim_to_headers: [{ header_name: 'x-name', claim_name: 'name' }] } });
    const split = await ask(splitting, bearer(await rsa.sign({ name: 'a\r\nx-evil: 1' })));
    expect(admittedHead(split).join('\n')).not.toMatch(/evil|x-name/);
  });
});
