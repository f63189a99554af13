// Keys of issuers, from real servers: found, refreshed and kept, and nothing else let in.

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@lateen/telemetry';
import { buildSnapshot } from '@lateen/translate';
import { afterEach, expect, it, vi } from 'vitest';
import { fetchKeys } from './fetch-keys.js';
import { TokenKeys } from './token-keys.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const keySet = (kid: string) => JSON.stringify({ keys: [{ kty: 'oct', k: 'c2VjcmV0', kid }] });

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function policies(...rules: readonly Record<string, unknown>[]) {
  const metadata = { name: 'p', namespace: 'default', labels: {}, annotations: {} };
  const config = { kind: 'RequestAuthentication', metadata, spec: { jwtRules: rules } };
  return buildSnapshot({ namespaces: [], services: [], workloads: [], configs: [config as never] });
}

async function open(file?: string, onChange = () => {}, times = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'token-keys-'));
  cleanups.push(() => rm(directory, { recursive: true, force: true }));
  const logger = createLogger('test', 'error');
  const stored = file ?? join(directory, 'keys.json');
  const keys = await TokenKeys.open({ file: stored, logger, onChange, ...times });
  cleanups.push(() => keys.close());
  return { keys, file: stored };
}

const until = (condition: () => void) => vi.waitFor(condition, { timeout: 15_000, interval: 10 });

it('fetches by address and by discovery, and follows a few redirects', async () => {
  const base = await serve((request, response) => {
    if (request.url === '/moved') response.writeHead(302, { location: '/keys' }).end();
    else if (request.url === '/.well-known/openid-configuration')
      response.end(JSON.stringify({ jwks_uri: `${base}/moved` }));
    else response.end(keySet('a'));
  });
  expect(await fetchKeys(`${base}/keys`, 5_000)).toBe(keySet('a'));
  expect(await fetchKeys(`${base}/.well-known/openid-configuration`, 5_000)).toBe(keySet('a'));
});

it('takes nothing but a key set of a sensible size from where it may come', async () => {
  const base = await serve((request, response) => {
    switch (request.url) {
      case '/huge':
        response.end(Buffer.alloc(10 * 1024 * 1024, ' '));
        break;
      case '/loop':
        response.writeHead(302, { location: '/loop' }).end();
        break;
      case '/file':
        response.writeHead(302, { location: 'file:///etc/passwd' }).end();
        break;
      case '/text':
        response.end('<html>');
        break;
      case '/none':
        response.end('{"keys":[{"kty":"RSA"}]}');
        break;
      case '/.well-known/openid-configuration':
        response.end('{}');
        break;
      case '/silent':
        break;
      default:
        response.writeHead(500).end();
    }
  });
  await expect(fetchKeys(`${base}/huge`, 5_000)).rejects.toThrow(/sends more than 1048576 bytes/);
  await expect(fetchKeys(`${base}/loop`, 5_000)).rejects.toThrow(/more than 3 redirects/);
  await expect(fetchKeys(`${base}/file`, 5_000)).rejects.toThrow(/leads to file:\/\/\/etc\/passwd, which is not http/);
  await expect(fetchKeys(`${base}/text`, 5_000)).rejects.toThrow(/is not JSON/);
  await expect(fetchKeys(`${base}/none`, 5_000)).rejects.toThrow(/has no key that can be used/);
  await expect(fetchKeys(`${base}/.well-known/openid-configuration`, 5_000)).rejects.toThrow(/names no jwks_uri/);
  await expect(fetchKeys(`${base}/error`, 5_000)).rejects.toThrow(/answers 500/);
  await expect(fetchKeys(`${base}/silent`, 50)).rejects.toThrow(/no answer within 50 ms/);
  await expect(fetchKeys('http://127.0.0.1:1/keys', 5_000)).rejects.toThrow(/ECONNREFUSED|bad port/);
});

it('refreshes, keeps the last keys while the issuer is away, and remembers them over a restart', async () => {
  let answer: string | undefined = keySet('a');
  let asked = 0;
  const base = await serve((_, response) => {
    asked++;
    if (answer === undefined) response.writeHead(503).end();
    else response.end(answer);
  });
  const address = `${base}/keys`;
  const changes = vi.fn();
  const { keys, file } = await open(undefined, changes, { refreshMs: 20, firstRetryMs: 20 });
  const rules = policies({ issuer: 'i', jwksUri: address }, { issuer: 'j', jwks: keySet('inline') });
  keys.follow(rules);
  expect(Object.keys(keys.current)).toEqual([address]);
  await until(() => expect(keys.current[address]?.keys).toBe(keySet('a')));
  answer = keySet('b');
  await until(() => expect(keys.current[address]?.keys).toBe(keySet('b')));
  const changed = changes.mock.calls.length;
  answer = undefined;
  await until(() => expect(keys.current[address]?.problem).toMatch(/answers 503/));
  const before = asked;
  await until(() => expect(asked).toBeGreaterThan(before + 2));
  expect(keys.current[address]?.keys).toBe(keySet('b'));
  // Proxies are not told of what changes nothing for them.
  expect(changes.mock.calls.length).toBe(changed);
  await keys.close();

  const again = await open(file);
  again.keys.follow(rules);
  expect(again.keys.current[address]?.keys).toBe(keySet('b'));
  again.keys.follow(policies());
  expect(again.keys.current).toEqual({});
});
