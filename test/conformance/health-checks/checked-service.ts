// Conformance, health checks: a service under a HealthCheck in a running data path, whose clock goes on when it is told to.

import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type ConfigObject, parseDocuments } from '@lateen/istio-config';
import {
  anyHost,
  connectionManager,
  dataPlaneConfig,
  listener,
  toCluster,
} from '@lateen/sidecar/build/testing/envoy-config.js';
import { passTime, startProxy } from '@lateen/sidecar/build/testing/proxy-fixture.js';
import { buildResources, buildSnapshot, parseProxyNode, resolveProxyView, type Workload } from '@lateen/translate';
import { fromEnvoyJson } from '@lateen/xds-proto';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { onTestFinished } from 'vitest';
import { waitUntil } from '../../harness/wait-until.js';

const CLUSTER = 'outbound|80||web.default.svc.cluster.local';
const CLIENT_ADDRESS = '127.1.0.1';
/** Around the time at which a check is expected, which passes as far as anybody can see; the machine may lose as much. */
const MARGIN = 0.1;
const WITHIN_MS = 20_000;

/** An application that is told how to answer checks. */
async function startApplication() {
  const application = { port: 0, status: 200, isMute: false, sockets: new Set<Socket>() };
  const server = createServer((_request, response) => {
    if (!application.isMute) response.writeHead(application.status).end();
  });
  // What is between two checks is not its time.
  server.keepAliveTimeout = 0;
  server.on('connection', (socket) => application.sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  application.port = (server.address() as AddressInfo).port;
  return application;
}

function workloadOf(name: string, address: string, ports: readonly number[]): Workload {
  return {
    name,
    namespace: 'default',
    labels: { app: name },
    annotations: {},
    serviceAccount: name,
    workloadName: name,
    address,
    ports: ports.map((port) => ({ port, appPort: port, name: '' })),
    ready: true,
    serviceAddresses: {},
    gateway: false,
    extraBindAddresses: {},
  };
}

/** What Pilot makes of the HealthCheck for a caller. @param spec the rest of its spec, as YAML with an indentation of two */
function translate(spec: string, port: number) {
  const content = `apiVersion: lateen.io/v1alpha1\nkind: HealthCheck\nmetadata: { name: web }\nspec:\n  host: web\n${spec}\n`;
  const { objects, problems } = parseDocuments([{ name: 'check.yaml', content }], { defaultNamespace: 'default' });
  if (problems.length > 0) throw new Error(problems.map(({ path, message }) => `${path}: ${message}`).join('\n'));
  const node = parseProxyNode(
    fromEnvoyJson(NodeSchema, {
      id: `sidecar~${CLIENT_ADDRESS}~client.default~default.svc.cluster.local`,
      metadata: { NAMESPACE: 'default', LABELS: { app: 'client' }, INTERCEPTION_MODE: 'NONE', LATEEN_VERSION: '0.1.0' },
    }),
  );
  if (!node.ok) throw new Error(node.errors.join('; '));
  const snapshot = buildSnapshot({
    meshConfig: { enableAutoMtls: false },
    namespaces: [],
    services: [
      {
        namespace: 'default',
        name: 'web',
        labels: {},
        annotations: {},
        selector: { app: 'web' },
        ports: [{ name: 'http', port: 80, targetPort: port, appProtocol: '' }],
      },
    ],
    workloads: [workloadOf('client', CLIENT_ADDRESS, []), workloadOf('web', '127.0.0.1', [port])],
    configs: objects as readonly ConfigObject<'HealthCheck'>[],
  });
  return buildResources(resolveProxyView(snapshot, node.proxy));
}

/** Starts a caller of a service with one endpoint. @param spec of its HealthCheck */
export async function startChecked(spec: string) {
  const application = await startApplication();
  const { clusters, endpoints } = translate(spec, application.port);
  const { listeners } = dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(anyHost(toCluster(CLUSTER)))] }])],
    [],
  );
  const logged: string[] = [];
  const proxy = await startProxy(
    {
      listeners,
      routes: new Map(),
      clusters: clusters.flatMap(({ name, message }) => (name === CLUSTER ? [message] : [])),
      endpoints: new Map(
        endpoints.flatMap(({ name, message }) => (name === CLUSTER ? [[name, message] as const] : [])),
      ),
      secrets: new Map(),
    },
    { log: (_level, message) => logged.push(message) },
  );
  const view = () => proxy.dataPlane.clusters().find(({ name }) => name === CLUSTER)!;
  const counts = () => view().health!;
  const isOver = () => counts().success + counts().failure === counts().attempt;
  const ended = () => waitUntil('the check is over', isOver, WITHIN_MS);
  const self = {
    application,
    logged,
    /** Checks so far. */
    checks: () => counts().attempt,
    networkFailures: () => counts().networkFailure,
    isFailing: () => view().endpoints[0]!.failing,
    pass: (seconds: number) => passTime(proxy, seconds * 1_000),
    ended,
    /** The next check is made after so many seconds, and not before. */
    async checksAfter(seconds: number): Promise<boolean> {
      const before = self.checks();
      await self.pass(seconds * (1 - MARGIN));
      if (self.checks() !== before) return false;
      await self.pass(seconds * 2 * MARGIN);
      const isChecked = self.checks() === before + 1;
      await ended();
      return isChecked;
    },
    /** Somebody calls the service. */
    async call(): Promise<void> {
      const client = await proxy.client();
      client.send('GET / HTTP/1.1\r\nHost: web\r\n\r\n');
      await client.message();
      client.socket.destroy();
    },
  };
  return self;
}
