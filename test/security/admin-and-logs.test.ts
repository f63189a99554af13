// Security: the admin API gives nothing away and changes nothing unasked; requests forge neither log lines nor metrics.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../harness/free-port.js';
import { waitUntil } from '../harness/wait-until.js';
import { Authority, spiffe } from './mesh-certificates.js';
import {
  cluster,
  connectionManager,
  type Json,
  listener,
  ProxyUnderTest,
  tlsSocket,
  toCluster,
} from './proxy-under-test.js';
import { bytes, dial, Reader, RecordingUpstream } from './raw-wire.js';

let upstream: RecordingUpstream;
let proxy: ProxyUnderTest;
let port = 0;
let jsonPort = 0;
let keyLine = '';

const JSON_LOG: Json = {
  name: 'stdout',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
    log_format: {
      json_format: { path: '%REQ(:PATH)%', agent: '%REQ(USER-AGENT)%', both: '%REQ(:METHOD)% %REQ(USER-AGENT)%' },
    },
  },
};

beforeAll(async () => {
  upstream = await RecordingUpstream.start();
  const authority = await Authority.create();
  const own = await authority.issue({ uris: [spiffe('target')] });
  keyLine = own.key.split('\n')[1] ?? '';
  port = await freePort();
  jsonPort = await freePort();
  const tlsPort = await freePort();
  proxy = await ProxyUnderTest.start(
    [
      listener('text', port, { routes: [toCluster('c')], log: true }),
      listener('json', jsonPort, { routes: [toCluster('c')], hcm: { access_log: [JSON_LOG] } }),
      {
        ...listener('tls', tlsPort, { routes: [] }),
        filter_chains: [
          {
            transport_socket: tlsSocket('Downstream', {
              tls_certificates: [
                { certificate_chain: { inline_string: own.cert }, private_key: { inline_string: own.key } },
              ],
            }),
            filters: [connectionManager({ routes: [toCluster('c')] })],
          },
        ],
      },
    ],
    [cluster('c', upstream.port)],
  );
});

afterAll(async () => {
  await proxy?.stop();
  await upstream?.stop();
});

async function send(to: number, text: string): Promise<void> {
  const socket = await dial(to);
  const reader = new Reader(socket);
  socket.write(bytes(text));
  await reader.responses(1);
  socket.destroy();
}

describe('the admin API', () => {
  const POSTS = ['/drain_listeners', '/quitquitquit', '/logging?level=trace', '/logging', '/reset_counters'];

  test.each(POSTS)('POST %s without the token is refused', async (path) => {
    for (const authorization of [undefined, '', 'Bearer', 'Bearer x', `Bearer ${'A'.repeat(43)}`, 'Basic YTpi']) {
      const { status } = await proxy.admin(path, 'POST', authorization === undefined ? {} : { authorization });
      expect([401, 404, 405]).toContain(status);
    }
    expect((await proxy.admin('/ready')).status).toBe(200);
  });

  test.each(POSTS)('GET %s changes nothing', async (path) => {
    const { status } = await proxy.admin(path);
    expect([404, 405]).toContain(status);
    expect((await proxy.admin('/ready')).status).toBe(200);
  });

  test('takes the token of its state directory, which is for the owner alone', async () => {
    const token = readFileSync(join(proxy.stateDir, 'admin-token'), 'utf8').trim();
    expect(token.length).toBeGreaterThanOrEqual(32);
    const { status } = await proxy.admin('/logging?level=warn', 'POST', { authorization: `Bearer ${token}` });
    expect(status).toBe(200);
  });

  test.each([
    'evil.example',
    'evil.example:15000',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '10.0.0.1',
    '0.0.0.0',
  ])('refuses the Host %j: a web page elsewhere cannot read it by a name of its own', async (host) => {
    expect((await proxy.admin('/config_dump', 'GET', { host })).status).toBeGreaterThanOrEqual(400);
  });

  test('takes the Host of loopback', async () => {
    for (const host of ['localhost', '127.0.0.1:1', '[::1]:1']) {
      expect((await proxy.admin('/ready', 'GET', { host })).status).toBe(200);
    }
  });

  test.each([
    '/../../etc/passwd',
    '//etc/passwd',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/config_dump/../../etc/passwd',
    '/http://x/',
    '/\\..\\x',
    `/${'a'.repeat(5000)}`,
  ])('has no page %s', async (path) => {
    const { status, body } = await proxy.admin(path);
    expect(status === 404 || body.includes('"configs"')).toBe(true);
    expect(body).not.toContain('root:');
  });

  test('shows no private key on any page', async () => {
    const help = await proxy.admin('/help');
    const pages = [...help.body.matchAll(/^\s*(\/[\w/]*)/gm)].map((match) => match[1] ?? '');
    expect(pages).toContain('/config_dump');
    for (const path of [...pages, '/config_dump?include_eds', '/listeners?format=json', '/clusters?format=json']) {
      const { body } = await proxy.admin(path);
      expect(body.includes(keyLine), path).toBe(false);
      expect(body, path).not.toContain('BEGIN PRIVATE KEY');
      expect(body.includes(Buffer.from(keyLine).toString('base64').slice(4, 60)), path).toBe(false);
    }
    expect((await proxy.admin('/config_dump')).body).toContain('[redacted]');
  });

  test('a state directory that is handed out by no page: the token is not shown', async () => {
    const token = readFileSync(join(proxy.stateDir, 'admin-token'), 'utf8').trim();
    for (const path of ['/', '/help', '/config_dump', '/server_info', '/certs', '/stats/prometheus']) {
      expect((await proxy.admin(path)).body).not.toContain(token);
    }
  });
});

describe('the access log', () => {
  const logged = (mark: string) =>
    waitUntil(`the line of ${mark}`, () => {
      const lines = proxy.app
        .output()
        .split('\n')
        .filter((line) => line.includes(mark));
      return lines.length > 0 ? lines : undefined;
    });

  test('has one line for a request, whatever bytes it is made of', async () => {
    const high = Array.from({ length: 128 }, (_, index) => String.fromCharCode(128 + index)).join('');
    await send(
      port,
      `GET /mark-1?${high.replace(/[\x80-\xff]/g, 'x')} HTTP/1.1\r\nHost: a\r\nUser-Agent: mark-2 ${high}\tx\x85y\u00a0\r\n\r\n`,
    );
    const [line = '', ...more] = await logged('mark-1');
    expect(more).toEqual([]);
    expect(line).toContain('mark-2');
    // C1 control characters, NEL among them, begin a new line or a terminal command for some readers.
    expect(/[\u0080-\u009f]/.test(line)).toBe(false);
    expect(line).toContain('\\x85');
    expect(line).toContain('\\x09');
  });

  test('has one JSON object for a request with quotes, backslashes and line separators', async () => {
    await send(jsonPort, 'GET /mark-3 HTTP/1.1\r\nHost: a\r\nUser-Agent: "},{"x":"y\\" \\n \xe2\x80\xa8\r\n\r\n');
    const [line = '', ...more] = await logged('mark-3');
    expect(more).toEqual([]);
    expect(Object.keys(JSON.parse(line) as object).sort()).toEqual(['agent', 'both', 'path']);
  });

  test('has a line for a request that was refused, without its bytes', async () => {
    const before = proxy.app.output().length;
    await send(port, 'GET /x\x01\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n');
    const line = await waitUntil('the line', () => {
      const text = proxy.app.output().slice(before);
      return text.includes('400') ? text : undefined;
    });
    expect(line).not.toContain('\x1b');
    expect(line).toContain('DPE');
  });
});
