// Interop tests: h2spec, an unmodified conformance tester of HTTP/2, finds nothing to object to in a sidecar's server side.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AppProcess, startApp } from '../harness/app-process.js';
import { freePort } from '../harness/free-port.js';
import { httpGet } from '../harness/http-get.js';
import { REPOSITORY } from '../harness/repository.js';
import { waitUntil } from '../harness/wait-until.js';
import { Authority } from '../security/mesh-certificates.js';
import { obtainH2spec, requireTester } from './build-testers.js';

/** Seconds that the tester waits for each answer: a machine may be busy, and only a wrong silence takes so long. */
const PATIENCE_S = 20;
const BUILD_LIMIT_MS = 300_000;
const TYPES = 'type.googleapis.com/envoy.extensions.filters';

/** What a listener that also takes HTTP/1.1 cannot do: listed in docs/compatibility.md. */
const OF_BOTH_VERSIONS = ['http2/3.5: Sends invalid connection preface'];
/** In the page's words. */
const NAMED = '*3.5, sends invalid connection preface*';
/** All tests of h2spec 2.2.1. */
const ALL = 146;

const h2spec = requireTester(obtainH2spec(), 'go', 'h2spec to test HTTP/2 with');

/** @param tls certificate and key; undefined for plaintext */
function listener(name: string, port: number, codecType: string, tls?: { cert: string; key: string }): object {
  const certificate = tls && {
    certificate_chain: { inline_string: tls.cert },
    private_key: { inline_string: tls.key },
  };
  const transport_socket = {
    name: 'tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      common_tls_context: { alpn_protocols: ['h2', 'http/1.1'], tls_certificates: [certificate] },
    },
  };
  const manager = {
    '@type': `${TYPES}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: name,
    codec_type: codecType,
    route_config: {
      name,
      virtual_hosts: [{ name, domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] }],
    },
    http_filters: [{ name: 'router', typed_config: { '@type': `${TYPES}.http.router.v3.Router` } }],
  };
  return {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [{ name: 'http', typed_config: manager }], ...(tls && { transport_socket }) }],
  };
}

function bootstrap(adminPort: number, appPort: number, listeners: readonly object[]): object {
  const endpoint = { address: { socket_address: { address: '127.0.0.1', port_value: appPort } } };
  return {
    node: { id: 'h2spec', cluster: 'h2spec' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
    static_resources: {
      listeners,
      clusters: [
        {
          name: 'app',
          type: 'STATIC',
          load_assignment: { cluster_name: 'app', endpoints: [{ lb_endpoints: [{ endpoint }] }] },
        },
      ],
    },
  };
}

describe.skipIf(h2spec === undefined)('h2spec', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-h2spec-'));
  const ports = { HTTP2: 0, AUTO: 0, TLS: 0 };
  let app: Server;
  let sidecar: AppProcess;

  beforeAll(async () => {
    // Reads what it is sent, and answers with more than one byte, as windows are tested by that.
    app = createServer((request, response) => {
      request.resume();
      request.once('end', () => response.end('x'.repeat(200)));
    }).listen(0, '127.0.0.1');
    await once(app, 'listening');
    const adminPort = await freePort();
    ports.HTTP2 = await freePort();
    ports.AUTO = await freePort();
    ports.TLS = await freePort();
    const certificate = await (await Authority.create()).issue({ dnsNames: ['localhost'] });
    const listeners = [
      listener('http2', ports.HTTP2, 'HTTP2'),
      listener('auto', ports.AUTO, 'AUTO'),
      listener('tls', ports.TLS, 'AUTO', certificate),
    ];
    const path = join(directory, 'bootstrap.json');
    writeFileSync(path, JSON.stringify(bootstrap(adminPort, (app.address() as AddressInfo).port, listeners)));
    sidecar = startApp('sidecar', ['--config-path', path, '--state-dir', join(directory, 'state')]);
    await waitUntil('the sidecar to be ready', async () => {
      return (await httpGet(`http://127.0.0.1:${adminPort}/ready`)).status === 200;
    });
  }, BUILD_LIMIT_MS);
  afterAll(async () => {
    await sidecar?.stop();
    app?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Runs all tests, the strict ones too: names of those that fail, and how many there are. */
  async function run(
    port: number,
    ...more: readonly string[]
  ): Promise<{ readonly failed: readonly string[]; readonly count: number }> {
    const report = join(directory, `${port}.xml`);
    const args = ['--host', '127.0.0.1', '--port', `${port}`, '--timeout', `${PATIENCE_S}`, '--strict', ...more];
    const child = spawn(h2spec ?? '', [...args, '--junit-report', report], { stdio: 'ignore' });
    await once(child, 'exit');
    const cases = readFileSync(report, 'utf8').split('<testcase ').slice(1);
    const failed = cases
      .filter((text) => text.includes('<failure') || text.includes('<error') || text.includes('<skipped'))
      .map((text) => `${/package="([^"]*)"/.exec(text)?.[1]}: ${/classname="([^"]*)"/.exec(text)?.[1]}`);
    return { failed, count: cases.length };
  }

  it(
    'finds nothing where clients speak HTTP/2',
    async () => {
      const { failed, count } = await run(ports.HTTP2);
      expect(failed).toEqual([]);
      expect(count).toBe(ALL);
    },
    BUILD_LIMIT_MS,
  );

  it(
    'finds nothing where TLS has settled on HTTP/2',
    async () => {
      const { failed, count } = await run(ports.TLS, '--tls', '--insecure');
      expect(failed).toEqual([]);
      expect(count).toBe(ALL);
    },
    BUILD_LIMIT_MS,
  );

  it(
    'finds one thing where they may speak HTTP/1.1 as well: what is no preface is a request of that, and answered',
    async () => {
      const { failed, count } = await run(ports.AUTO);
      expect(failed).toEqual(OF_BOTH_VERSIONS);
      expect(count).toBe(ALL);
      expect(readFileSync(join(REPOSITORY, 'docs/compatibility.md'), 'utf8')).toContain(NAMED);
    },
    BUILD_LIMIT_MS,
  );

  it('does no harm', async () => {
    const session = await httpGet(`http://127.0.0.1:${ports.AUTO}/`);
    expect(session.status).toBe(200);
    expect(sidecar.child.exitCode).toBeNull();
  });
});
