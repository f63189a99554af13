// Security tests: a built sidecar with static listeners, as a process, and what it wrote.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type AppProcess, startApp } from '../harness/app-process.js';
import { freePort } from '../harness/free-port.js';
import { waitUntil } from '../harness/wait-until.js';

export type Json = Record<string, unknown>;

const TYPE = 'type.googleapis.com/envoy';

export const address = (port: number): Json => ({ socket_address: { address: '127.0.0.1', port_value: port } });

export const TLS_INSPECTOR: Json = {
  name: 'envoy.filters.listener.tls_inspector',
  typed_config: { '@type': `${TYPE}.extensions.filters.listener.tls_inspector.v3.TlsInspector` },
};

const STDOUT_LOG: Json = {
  name: 'stdout',
  typed_config: { '@type': `${TYPE}.extensions.access_loggers.stream.v3.StdoutAccessLog` },
};

const meshFilter = (name: string, typeUrl: string): Json => ({
  name,
  typed_config: {
    '@type': 'type.googleapis.com/udpa.type.v1.TypedStruct',
    type_url: `type.googleapis.com/${typeUrl}`,
    value: {},
  },
});

/** Peer metadata exchange and istio_* metrics. */
export const MESH_FILTERS: readonly Json[] = [
  meshFilter('istio.metadata_exchange', 'io.istio.http.peer_metadata.Config'),
  meshFilter('istio.stats', 'stats.PluginConfig'),
];

export const toCluster = (cluster: string, prefix = '/'): Json => ({
  match: { prefix },
  route: { cluster, timeout: '0s' },
});

export interface ChainOptions {
  readonly routes: readonly Json[];
  readonly hcm?: Json;
  readonly filters?: readonly Json[];
  readonly log?: boolean;
  readonly virtualHosts?: readonly Json[];
}

/** The network filter of one chain. */
export function connectionManager({ routes, hcm, filters, log, virtualHosts }: ChainOptions): Json {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': `${TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: 'test',
      normalize_path: true,
      merge_slashes: true,
      route_config: { name: 'local', virtual_hosts: virtualHosts ?? [{ name: 'all', domains: ['*'], routes }] },
      http_filters: [
        ...(filters ?? []),
        {
          name: 'envoy.filters.http.router',
          typed_config: { '@type': `${TYPE}.extensions.filters.http.router.v3.Router` },
        },
      ],
      ...(log === true ? { access_log: [STDOUT_LOG] } : {}),
      ...hcm,
    },
  };
}

export function listener(name: string, port: number, chain: ChainOptions, extra: Json = {}): Json {
  return { name, address: address(port), filter_chains: [{ filters: [connectionManager(chain)] }], ...extra };
}

export function cluster(name: string, port: number, extra: Json = {}): Json {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '2s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }] },
    ...extra,
  };
}

export function tlsSocket(kind: 'Downstream' | 'Upstream', common: Json, extra: Json = {}): Json {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `${TYPE}.extensions.transport_sockets.tls.v3.${kind}TlsContext`,
      common_tls_context: common,
      ...extra,
    },
  };
}

/** The fields of a bootstrap file that every test needs. */
export function node(adminPort: number): Json {
  return {
    node: {
      id: 'sidecar~127.0.0.1~target.security~security.svc.cluster.local',
      cluster: 'target.security',
      metadata: { NAMESPACE: 'security', WORKLOAD_NAME: 'target', LABELS: { app: 'target', version: 'v1' } },
    },
    admin: { address: address(adminPort) },
  };
}

export interface StartOptions {
  readonly flags?: readonly string[];
  readonly directory?: string;
}

export class ProxyUnderTest {
  private constructor(
    readonly app: AppProcess,
    readonly adminPort: number,
    readonly directory: string,
    readonly stateDir: string,
  ) {}

  /** Starts it with static resources and waits until it is ready. */
  static start(listeners: readonly Json[], clusters: readonly Json[]): Promise<ProxyUnderTest> {
    return ProxyUnderTest.startWith({ static_resources: { listeners, clusters } });
  }

  /** Starts it with these fields in its bootstrap file; `directory` is that of one that ran before. */
  static async startWith(
    fields: Json,
    { flags = [], directory = mkdtempSync(join(tmpdir(), 'lateen-security-')) }: StartOptions = {},
  ): Promise<ProxyUnderTest> {
    const stateDir = join(directory, 'state');
    const adminPort = await freePort();
    const path = join(directory, 'bootstrap.yaml');
    writeFileSync(path, stringify({ ...node(adminPort), ...fields }));
    const app = startApp('sidecar', [
      ...['--config-path', path, '--state-dir', stateDir, '--log-level', 'warn', '--drain-time', '3s'],
      ...flags,
    ]);
    const proxy = new ProxyUnderTest(app, adminPort, directory, stateDir);
    await waitUntil(`the sidecar to be ready; it wrote ${app.output()}`, async () => {
      if (app.child.exitCode !== null) throw new Error(`it ended: ${app.output()}`);
      return (await proxy.admin('/ready')).status === 200;
    });
    return proxy;
  }

  /** Calls its admin API. */
  admin(path: string, method = 'GET', headers: Record<string, string> = {}): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const call = httpRequest(
        { host: '127.0.0.1', port: this.adminPort, path, method, headers, agent: false },
        (response) => {
          let body = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => {
            body += chunk;
          });
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
        },
      );
      call.on('error', reject);
      call.end();
    });
  }

  /** A value of its own metrics; the sum over all series of that name. */
  async metric(name: string): Promise<number> {
    const { body } = await this.admin('/stats/prometheus');
    let sum = 0;
    for (const line of body.split('\n')) {
      if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.slice(line.lastIndexOf(' ')));
    }
    return sum;
  }

  /** Resident memory in MiB, from the system. */
  rssMiB(): number {
    return residentMiB(this.app.child.pid ?? 0);
  }

  /** Ends it and removes its files. */
  async stop(): Promise<void> {
    await this.app.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function residentMiB(processId: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${processId}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) / 1024;
}
