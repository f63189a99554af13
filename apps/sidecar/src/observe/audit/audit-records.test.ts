// Audit records of real requests and connections, with the members that Pilot asks for: who, what, how it was decided.

import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { AccessLogRecord } from '../../data-plane.js';
import { openClient, readAll, startTcpServer, tcpProxy } from '../../tcp/tcp-fixture.js';
import { ANYBODY, header, httpRbac, networkRbac, path, rules } from '../../testing/access-rules.js';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../../testing/envoy-config.js';
import { ACCESS_LOG } from '../../testing/one-cluster.js';
import { startProxy, startUpstream } from '../../testing/proxy-fixture.js';
import { compileAuditFormat } from './audit-format.js';
import { AuditLog } from './audit-log.js';

type Json = Record<string, unknown>;
const PILOT = fileURLToPath(
  new URL('../../../../../packages/translate/test/cases/access-log-audit/out.yaml', import.meta.url),
);
const SECRET = Buffer.alloc(32, 7);

/** What Pilot asks for. */
const [MEMBERS] = findAll(parse(readFileSync(PILOT, 'utf8')), 'json_format');

let directory: string;
let log: AuditLog;
let taken = 0;
beforeEach(() => {
  taken = 0;
  directory = mkdtempSync(join(tmpdir(), 'lateen-audit-'));
  const onError = (reason: string) => {
    throw new Error(reason);
  };
  log = new AuditLog({ path: join(directory, 'audit.log'), writer: () => ({}), onError });
});
afterEach(() => rmSync(directory, { recursive: true }));

function findAll(value: unknown, key: string): Record<string, string>[] {
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([name, child]) => (name === key ? [child] : findAll(child, key)));
}

/** What is in the log by now, less what it says of itself. */
async function recordsOf(): Promise<Json[]> {
  await log.close();
  const lines = readFileSync(join(directory, 'audit.log'), 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Json).filter(({ type }) => type !== 'start' && type !== 'end');
}

function sinkOf(type: string) {
  const format = compileAuditFormat({ ...MEMBERS, type });
  const take = (record: AccessLogRecord) => {
    taken++;
    log.take(format, record);
  };
  return { createAccessLogSink: () => take };
}

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
function token(secret: Buffer): string {
  const text = `${base64({ alg: 'HS256' })}.${base64({ iss: 'https://issuer', sub: 'jason' })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

const TOKENS = {
  name: 'envoy.filters.http.jwt_authn',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
    providers: {
      p: {
        issuer: 'https://issuer',
        local_jwks: { inline_string: JSON.stringify({ keys: [{ kty: 'oct', k: SECRET.toString('base64url') }] }) },
        payload_in_metadata: 'payload',
      },
    },
    rules: [
      {
        match: { prefix: '/' },
        requires: { requires_any: { requirements: [{ provider_name: 'p' }, { allow_missing: {} }] } },
      },
    ],
  },
};
/** As Pilot has policies that are only tried. */
const tried = (which: 'deny' | 'allow', shadow: Json) => ({
  shadow_rules: shadow,
  shadow_rules_stat_prefix: `istio_dry_run_${which}_`,
});

it('say of a request who it was, by which policy it was decided, and what policies under trial would have said', async () => {
  const upstream = await startUpstream();
  const filters = [
    TOKENS,
    httpRbac({
      rules: rules('DENY', { 'ns[a]-policy[no-admin]-rule[0]': [path({ prefix: '/admin' }), ANYBODY] }),
      ...tried('deny', rules('DENY', { 'ns[a]-policy[try-deny]-rule[1]': [path({ prefix: '/old' }), ANYBODY] })),
    }),
    httpRbac({
      rules: rules('ALLOW', { 'ns[a]-policy[read]-rule[2]': [header(':method', { exact: 'GET' }), ANYBODY] }),
      ...tried('allow', rules('ALLOW', { 'ns[a]-policy[try-allow]-rule[0]': [path({ prefix: '/new' }), ANYBODY] })),
    }),
  ];
  const manager = connectionManager(anyHost(toCluster('c')), ACCESS_LOG, filters);
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [manager] }])],
    [cluster('c', [endpointOf(upstream.port)])],
  );
  const proxy = await startProxy(config, sinkOf('request'));
  const client = await proxy.client();
  const send = async (line: string, forwarded: boolean, ...headers: string[]) => {
    const lines = ['Host: shop.example.com', ...headers].map((each) => `${each}\r\n`).join('');
    client.send(`${line} HTTP/1.1\r\n${lines}\r\n`);
    if (forwarded) {
      const server = upstream.connections[0] ?? (await upstream.next());
      await server.message();
      server.send('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
    }
    return Number((await client.message()).head.split(' ')[1]);
  };
  const traceparent = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`;
  const good = `Authorization: Bearer ${token(SECRET)}`;
  expect(await send('GET /old/1', true, good, `traceparent: ${traceparent}`, 'x-request-id: r1')).toBe(200);
  expect(await send('GET /admin', false, good)).toBe(403);
  expect(await send('GET /forged', false, `Authorization: Bearer ${token(Buffer.alloc(32, 8))}`)).toBe(401);
  expect(await send('PUT /new', false, 'Content-Length: 0', 'x-b3-traceid: 00000000000000aa')).toBe(403);
  await expect.poll(() => taken, { timeout: 10_000 }).toBe(4);
  const records = await recordsOf();
  expect(records).toMatchObject([
    {
      type: 'request',
      direction: 'inbound',
      method: 'GET',
      host: 'shop.example.com',
      path: '/old/1',
      issuer: 'https://issuer',
      subject: 'jason',
      decision: 'allowed',
      policy: 'ns[a]-policy[read]-rule[2]',
      dry_run_deny: 'denied',
      dry_run_deny_policy: 'ns[a]-policy[try-deny]-rule[1]',
      dry_run_allow: 'denied',
      status: 200,
      request_id: 'r1',
      traceparent,
      bytes_sent: 2,
      source: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      upstream: `127.0.0.1:${upstream.port}`,
    },
    { path: '/admin', subject: 'jason', decision: 'denied', policy: 'ns[a]-policy[no-admin]-rule[0]', status: 403 },
    { path: '/forged', decision: 'denied', status: 401, details: expect.stringContaining('jwt_authn_access_denied') },
    {
      method: 'PUT',
      path: '/new',
      decision: 'denied',
      dry_run_deny: 'allowed',
      dry_run_allow: 'allowed',
      dry_run_allow_policy: 'ns[a]-policy[try-allow]-rule[0]',
      status: 403,
      b3: '00000000000000aa',
    },
  ]);
  // Nothing of the one before, and nobody whose token was not good.
  for (const record of records.slice(2)) {
    expect(record).not.toHaveProperty('subject');
    expect(record).not.toHaveProperty('issuer');
    expect(record).not.toHaveProperty('policy');
    expect(record).not.toHaveProperty('traceparent');
  }
  expect(records[0]).not.toHaveProperty('dry_run_allow_policy');
});

it('say of a connection by which policy it was let pass or cut', async () => {
  const port = await startTcpServer((socket) => socket.end('hello'));
  const fromLoopback = { direct_remote_ip: { address_prefix: '127.0.0.0', prefix_len: 8 } };
  const onPort = (rule: string): Json => rules('DENY', { [rule]: [ANYBODY, fromLoopback] });
  const chain = (filter: Json) => ({ filters: [networkRbac(filter), tcpProxy({ cluster: 'c' }, ACCESS_LOG)] });
  const open = chain({
    rules: rules('ALLOW', { 'ns[a]-policy[ours]-rule[0]': [ANYBODY, fromLoopback] }),
    ...tried('deny', onPort('ns[a]-policy[try]-rule[0]')),
  });
  const shut = chain({ rules: onPort('ns[a]-policy[never]-rule[3]') });
  const config = dataPlaneConfig(
    [listener('open', [open]), listener('shut', [shut])],
    [cluster('c', [endpointOf(port)])],
  );
  const proxy = await startProxy(config, sinkOf('connection'));
  for (const [name, received] of [
    ['open', 'hello'],
    ['shut', ''],
  ] as const) {
    const client = await openClient(proxy.port(name));
    client.on('error', () => {});
    expect((await readAll(client)).toString()).toBe(received);
    client.destroy();
  }
  // Which of them is over first is not said.
  await expect.poll(() => taken, { timeout: 10_000 }).toBe(2);
  const records = await recordsOf();
  expect(records.sort((a, b) => (String(a.decision) < String(b.decision) ? -1 : 1))).toMatchObject([
    {
      type: 'connection',
      decision: 'allowed',
      policy: 'ns[a]-policy[ours]-rule[0]',
      dry_run_deny: 'denied',
      dry_run_deny_policy: 'ns[a]-policy[try]-rule[0]',
      bytes_sent: 5,
      upstream: `127.0.0.1:${port}`,
    },
    {
      type: 'connection',
      decision: 'denied',
      policy: 'ns[a]-policy[never]-rule[3]',
      termination: 'rbac_access_denied_matched_policy[ns[a]-policy[never]-rule[3]]',
      bytes_received: 0,
    },
  ]);
});
