// Process tests: starts the built sidecar, an upstream to proxy to, and a control plane, all on free loopback ports.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { fromEnvoyJson, packAny, TYPE_URL } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { type AdsForm, createAdsService, ENVOY_SERVED_TYPES, type ServedSnapshot } from '@lateen/xds-stream';

/** The built program. */
export const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

/** Everything that a test started, ended in reverse order. */
export class Cleanups {
  readonly #steps: (() => unknown)[] = [];
  add(step: () => unknown): void {
    this.#steps.push(step);
  }
  async run(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) await step();
  }
}

export function temporaryDirectory(cleanups: Cleanups): string {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-sidecar-'));
  cleanups.add(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** An upstream that answers with its name and the path. */
export async function startUpstream(cleanups: Cleanups, name: string): Promise<number> {
  const server = createServer((request, response) => response.end(`${name} ${request.url}`));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.add(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

export interface RunningSidecar {
  readonly child: ChildProcess;
  readonly admin: string;
  readonly log: readonly LogLine[];
  readonly stdout: () => string;
  exit(): Promise<number | null>;
  adminJson(path: string): Promise<Record<string, unknown>>;
  /** Port of a listener by its name. */
  port(listener: string): Promise<number>;
}

/** Runs the program to its end. */
export async function runSidecar(
  args: readonly string[],
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawnMain(args);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => (stdout += chunk));
  child.stderr?.on('data', (chunk) => (stderr += chunk));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, stdout, stderr };
}

function spawnMain(args: readonly string[]): ChildProcess {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing; run \`npm run build\` first`);
  return spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Starts a sidecar and waits until its first configuration is in effect. */
export async function startSidecarProcess(cleanups: Cleanups, args: readonly string[]): Promise<RunningSidecar> {
  const child = spawnMain(args);
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
  cleanups.add(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  let stdout = '';
  child.stdout?.on('data', (chunk) => (stdout += chunk));
  const log: LogLine[] = [];
  const admin = await new Promise<string>((resolve, reject) => {
    const texts: string[] = [];
    createInterface({ input: child.stderr as NodeJS.ReadableStream }).on('line', (line) => {
      texts.push(line);
      if (!line.startsWith('{')) return;
      const entry = JSON.parse(line) as LogLine;
      log.push(entry);
      if (entry.message === 'sidecar started') resolve((entry.admin as { admin: string }).admin);
    });
    child.on('close', (code) => reject(new Error(`the sidecar ended with ${code}:\n${texts.join('\n')}`)));
  });
  const adminJson = async (path: string) =>
    JSON.parse((await fetchText(`http://${admin}${path}`)).body) as Record<string, unknown>;
  return {
    child,
    admin,
    log,
    stdout: () => stdout,
    exit: () => closed,
    adminJson,
    port: async (listener) => {
      const { listener_statuses: statuses } = (await adminJson('/listeners?format=json')) as {
        listener_statuses: { name: string; local_address: { socket_address: { port_value: number } } }[];
      };
      const found = statuses.find(({ name }) => name === listener);
      if (found === undefined) throw new Error(`no listener ${listener}: ${JSON.stringify(statuses)}`);
      return found.local_address.socket_address.port_value;
    },
  };
}

/** One request on a connection of its own. */
export function fetchText(
  url: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false, headers }, (response) => {
      let body = '';
      response.on('data', (chunk) => (body += chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    }).on('error', reject);
  });
}

export interface ControlPlane {
  readonly port: number;
  readonly nacks: { readonly typeUrl: string; readonly error: string }[];
  readonly acks: string[];
  /** Types of the responses that were acknowledged. */
  readonly ackedTypes: string[];
  publish(snapshot: ServedSnapshot): void;
  stop(): void;
}

/** A control plane made of this repository's ADS server, in plaintext. */
export async function startControlPlane(cleanups: Cleanups, port = 0): Promise<ControlPlane> {
  let snapshot: ServedSnapshot | undefined;
  const listeners = new Set<() => void>();
  const nacks: { typeUrl: string; error: string }[] = [];
  const acks: string[] = [];
  const ackedTypes: string[] = [];
  const ads = createAdsService({
    types: ENVOY_SERVED_TYPES,
    authorize: () => undefined,
    events: {
      onNack: ({ typeUrl, error }) => nacks.push({ typeUrl, error }),
      onAck: ({ version, typeUrl }) => {
        acks.push(version);
        ackedTypes.push(typeUrl);
      },
    },
    removalGraceMs: 1,
    source: {
      open: (_client, onChange) => {
        listeners.add(onChange);
        return { current: () => snapshot, close: () => listeners.delete(onChange) };
      },
    },
  });
  const server = new Server();
  server.addService(ads.definition, ads.implementation);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, value) =>
      error === null ? resolve(value) : reject(error),
    );
  });
  cleanups.add(() => server.forceShutdown());
  return {
    port: bound,
    nacks,
    acks,
    ackedTypes,
    stop: () => server.forceShutdown(),
    publish: (next) => {
      snapshot = next;
      for (const listener of listeners) listener();
    },
  };
}

export interface MeshSpec {
  readonly version: string;
  readonly upstreamPort: number;
  /** Merged into the listener's HTTP connection manager. */
  readonly hcm?: object;
  /** Left out: a free one. */
  readonly listenerPort?: number;
  /** Merged into the route. */
  readonly route?: object;
}

const ADS = { ads: {}, resource_api_version: 'V3' };
export const HCM_TYPE =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
export const ROUTER = {
  name: 'envoy.filters.http.router',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
};

/** One listener `web` with RDS `web`, one EDS cluster `app`. */
export function meshSnapshot({ version, upstreamPort, listenerPort = 0, hcm, route }: MeshSpec): ServedSnapshot {
  const socket = (address: string, port: number) => ({ socket_address: { address, port_value: port } });
  const listener = fromEnvoyJson(ListenerSchema, {
    name: 'web',
    address: socket('127.0.0.1', listenerPort),
    filter_chains: [
      {
        filters: [
          {
            name: 'hcm',
            typed_config: {
              '@type': HCM_TYPE,
              rds: { route_config_name: 'web', config_source: ADS },
              http_filters: [ROUTER],
              ...hcm,
            },
          },
        ],
      },
    ],
  });
  const routes = fromEnvoyJson(RouteConfigurationSchema, {
    name: 'web',
    virtual_hosts: [
      { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app', ...route } }] },
    ],
  });
  const cluster = fromEnvoyJson(ClusterSchema, {
    name: 'app',
    type: 'EDS',
    connect_timeout: '1s',
    eds_cluster_config: { eds_config: ADS },
  });
  const assignment = fromEnvoyJson(ClusterLoadAssignmentSchema, {
    cluster_name: 'app',
    endpoints: [{ lb_endpoints: [{ endpoint: { address: socket('127.0.0.1', upstreamPort) } }] }],
  });
  // Versions must differ where bytes do.
  const one = (name: string, content: object, any: ReturnType<typeof packAny>) =>
    new Map([[name, { version: JSON.stringify(content), any }]]);
  return {
    version,
    resources: new Map([
      [TYPE_URL.cluster, one('app', {}, packAny(ClusterSchema, cluster))],
      [TYPE_URL.endpoint, one('app', { upstreamPort }, packAny(ClusterLoadAssignmentSchema, assignment))],
      [TYPE_URL.listener, one('web', { hcm, listenerPort }, packAny(ListenerSchema, listener))],
      [TYPE_URL.route, one('web', { route }, packAny(RouteConfigurationSchema, routes))],
    ]),
  };
}

export const NODE_ID = 'sidecar~127.0.0.1~web.default~default.svc.cluster.local';

/** A bootstrap file that takes everything from the control plane. */
export function writeAdsBootstrap(directory: string, port: number, form: AdsForm): string {
  const file = join(directory, 'bootstrap.json');
  const bootstrap = {
    node: { id: NODE_ID, cluster: 'web.default' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    dynamic_resources: {
      ads_config: {
        api_type: form === 'sotw' ? 'GRPC' : 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
      lds_config: ADS,
      cds_config: ADS,
    },
    static_resources: {
      clusters: [
        {
          name: 'xds-grpc',
          type: 'STATIC',
          connect_timeout: '1s',
          http2_protocol_options: {},
          load_assignment: {
            cluster_name: 'xds-grpc',
            endpoints: [
              {
                lb_endpoints: [
                  { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } },
                ],
              },
            ],
          },
        },
      ],
    },
  };
  writeFileSync(file, JSON.stringify(bootstrap, undefined, 2));
  return file;
}
