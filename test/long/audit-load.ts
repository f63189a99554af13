// Long test: the audit log under load: every request is in it or counted as dropped, exactly, on a disk, on a sink that
// reads slowly, and at a collector; and requests do not wait for any of them.
//
//   node test/dist/long/audit-load.js [SECONDS [REQUESTS_PER_SECOND]]

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AuditVerifier } from '@lateen/telemetry/audit/verify.js';
import { startApp } from '../harness/app-process.js';
import { freePort } from '../harness/free-port.js';
import { waitUntil } from '../harness/wait-until.js';
import { collectorSink, fileSink, slowPipeSink, type TriedSink } from './audit-sinks.js';

const CONNECTIONS = 32;
const TICK_MS = 10;
const ANSWERS_TIMEOUT_MS = 60_000;
const HTTP_2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

/** Sends requests down connections without waiting for answers, and counts these. */
class Load {
  sent = 0;
  answered = 0;
  slowestMs = 0;
  private owed = 0;
  private readonly sentAt: number[][];

  private constructor(private readonly sockets: readonly Socket[]) {
    this.sentAt = sockets.map(() => []);
    for (const [index, socket] of sockets.entries()) {
      let rest = '';
      socket.setEncoding('latin1').on('data', (chunk: string) => {
        const parts = (rest + chunk).split('HTTP/1.1 200 ');
        // A status line may be cut anywhere; its first part was counted with what was before it.
        for (let part = 1; part < parts.length; part++) this.take(index);
        rest = (parts.at(-1) ?? '').slice(-12);
      });
      socket.on('error', (error) => {
        throw error;
      });
    }
  }

  static async open(port: number): Promise<Load> {
    const sockets = Array.from({ length: CONNECTIONS }, () => connect(port, '127.0.0.1'));
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    return new Load(sockets);
  }

  async run(seconds: number, perSecond: number): Promise<void> {
    const startMs = performance.now();
    for (let sentMs = 0; sentMs < seconds * 1_000; ) {
      const atMs = Math.min(performance.now() - startMs, seconds * 1_000);
      this.owed += (perSecond * (atMs - sentMs)) / 1_000;
      sentMs = atMs;
      for (; this.owed >= 1; this.owed--) this.send();
      await sleep(TICK_MS);
    }
    await waitUntil('every answer', () => this.answered === this.sent, ANSWERS_TIMEOUT_MS);
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  private send(): void {
    const index = this.sent % this.sockets.length;
    this.sockets[index]?.write(`GET /orders/${this.sent} HTTP/1.1\r\nhost: orders\r\nuser-agent: load\r\n\r\n`);
    this.sentAt[index]?.push(performance.now());
    this.sent++;
  }

  private take(index: number): void {
    this.answered++;
    const sentAt = this.sentAt[index]?.shift() ?? 0;
    this.slowestMs = Math.max(this.slowestMs, performance.now() - sentAt);
  }
}

function bootstrap(port: number, adminPort: number, backendPort: number, { logger, cluster }: TriedSink): object {
  const address = (value: number) => ({ socket_address: { address: '127.0.0.1', port_value: value } });
  const filters = 'type.googleapis.com/envoy.extensions.filters';
  const hcm = {
    '@type': `${filters}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'in',
    access_log: [logger],
    route_config: {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] }],
    },
    http_filters: [
      { name: 'envoy.filters.http.router', typed_config: { '@type': `${filters}.http.router.v3.Router` } },
    ],
  };
  const endpoints = (value: number) => [{ lb_endpoints: [{ endpoint: { address: address(value) } }] }];
  const clusterOf = (name: string, value: number, more: object) => ({
    name,
    connect_timeout: '5s',
    load_assignment: { cluster_name: name, endpoints: endpoints(value) },
    ...more,
  });
  return {
    node: { id: 'sidecar~127.0.0.1~orders-0.default~default.svc.cluster.local' },
    admin: { address: address(adminPort) },
    static_resources: {
      listeners: [
        { name: 'in', address: address(port), filter_chains: [{ filters: [{ name: 'hcm', typed_config: hcm }] }] },
      ],
      clusters: [
        clusterOf('app', backendPort, {}),
        ...(cluster === undefined ? [] : [clusterOf(cluster.name, cluster.port, HTTP_2)]),
      ],
    },
  };
}

interface Outcome {
  readonly text: string;
  readonly held: boolean;
}

/** One sidecar under load, until it has ended; what its log then says. */
async function trial(directory: string, sink: TriedSink, seconds: number, perSecond: number): Promise<Outcome> {
  const backend = createServer((_request, response) => response.end('ok'));
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  const [port, adminPort] = [await freePort(), await freePort()];
  const config = join(directory, 'bootstrap.json');
  writeFileSync(config, JSON.stringify(bootstrap(port, adminPort, (backend.address() as AddressInfo).port, sink)));
  const sidecar = startApp('sidecar', ['--config-path', config, '--log-level', 'warn']);
  try {
    const load = await waitUntil('the sidecar', async () => {
      if (!(await fetch(`http://127.0.0.1:${adminPort}/ready`)).ok) return undefined;
      return Load.open(port);
    });
    await load.run(seconds, perSecond);
    load.close();
    sink.hurry();
    const code = await sidecar.stop();
    const verifier = new AuditVerifier();
    await sink.verify(verifier);
    const { chains, problems } = await verifier.report(false);
    const [chain] = chains;
    const [records, dropped] = [chain?.records ?? 0, chain?.dropped ?? 0];
    const held =
      code === 0 && problems.length === 0 && records + dropped === load.answered && load.answered === load.sent;
    const findings = [
      ...problems.map(({ line, message }) => `line ${line}: ${message}`),
      ...(code === 0 ? [] : [sidecar.output()]),
    ];
    const rate = (load.sent / seconds).toFixed(0);
    const text = `${load.answered} requests at ${rate} a second, ${records} records + ${dropped} dropped, slowest answer ${load.slowestMs.toFixed(0)} ms`;
    return { held, text: [text, ...findings].join('\n  ') };
  } finally {
    sidecar.child.kill('SIGKILL');
    backend.closeAllConnections();
    backend.close();
    sink.close();
  }
}

const SINKS: readonly (readonly [string, (directory: string) => Promise<TriedSink>])[] = [
  ['a file', fileSink],
  ['a pipe that is read slowly', slowPipeSink],
  ['a collector of OpenTelemetry', collectorSink],
];

async function main(): Promise<void> {
  const seconds = Number(process.argv[2] ?? 60);
  const perSecond = Number(process.argv[3] ?? 2_000);
  for (const [title, createSink] of SINKS) {
    const directory = mkdtempSync(join(tmpdir(), 'lateen-audit-load-'));
    try {
      const { held, text } = await trial(directory, await createSink(directory), seconds, perSecond);
      console.log(`${held ? 'held  ' : 'BROKEN'}  ${title}: ${text}`);
      if (!held) process.exitCode = 1;
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

await main();
