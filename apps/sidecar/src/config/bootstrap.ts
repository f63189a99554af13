// Bootstrap: an Envoy v3 bootstrap file in YAML or JSON becomes a checked configuration, or a list of every problem in it.

import { create } from '@bufbuild/protobuf';
import { fromEnvoyJson, TYPE_URL } from '@lateen/xds-proto';
import { type Bootstrap, BootstrapSchema } from '@lateen/xds-proto/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { type Cluster, ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { type Node, NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { Secret } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { ConfigProblem, ConnectionLimits } from '../data-plane.js';
import { type AdsConfig, controlPlaneClusterNames, readAdsConfig } from './ads-config.js';
import { checkStructure } from './check-structure.js';
import { findProblems } from './decode-resource.js';
import { checkStaticSources, type DynamicSources, readDynamicSources } from './dynamic-sources.js';
import { formatFieldPath, parseFieldPath } from './field-path.js';
import { type FileProblem, type LocatedDocument, parseLocatedYaml } from './located-yaml.js';
import { readRuntime } from './runtime.js';
import { CONTROL_PLANE_SUPPORT_TABLE, SUPPORT_TABLE } from './support/support-table.js';
import type { FieldProblem } from './support/support-types.js';
import { findUnsupported } from './support/walk-support.js';
import { checkIpAddress, checkUnique, LOCAL_SDS_CLUSTER, ProblemCollector } from './validate/field-checks.js';
import { checkStaticRouteClusters } from './validate/static-route-clusters.js';
import { isLoopbackAddress } from './validate/validate-listener.js';

export interface SidecarBootstrap {
  readonly node: Node;
  readonly admin: { readonly address: string; readonly port: number } | undefined;
  readonly listeners: readonly Listener[];
  /** Without those that only lead to the control plane. */
  readonly clusters: readonly Cluster[];
  readonly secrets: readonly Secret[];
  readonly ads: AdsConfig | undefined;
  /** Undefined where everything is static. */
  readonly dynamic: DynamicSources | undefined;
  readonly connectionLimits: ConnectionLimits;
  /** What is accepted and has another effect than in Envoy, or none: `FILE:LINE:COLUMN PATH: MESSAGE`. */
  readonly warnings: readonly string[];
  /** The file as a message, for /config_dump. */
  readonly message: Bootstrap;
  /** What the data path found wrong with static resources, as problems of the file. */
  rejected(problems: readonly ConfigProblem[]): BootstrapRejected;
}

/** Thrown with every problem of the file. */
export class BootstrapRejected extends Error {
  /** @param file as the user named it */
  constructor(
    readonly file: string,
    readonly problems: readonly FileProblem[],
  ) {
    super(problems.map((problem) => formatProblem(file, problem)).join('\n'));
    this.name = 'BootstrapRejected';
  }
}

/** `file:line:col path: message` */
function formatProblem(file: string, { line, column, path, message }: FileProblem): string {
  return `${file}:${line}:${column} ${path === '' ? '' : `${path}: `}${message}`;
}

/**
 * Reads a bootstrap file.
 * @param file its name, for messages
 * @throws BootstrapRejected
 */
export function parseBootstrap(text: string, file: string): SidecarBootstrap {
  const document = parseLocatedYaml(text);
  if (Array.isArray(document)) throw new BootstrapRejected(file, document);
  const structure = checkStructure(BootstrapSchema, document.value);
  if (structure.length > 0) {
    throw new BootstrapRejected(
      file,
      structure.map(({ path, atKey, message }) => ({
        ...document.locate(path, atKey),
        path: formatFieldPath(path),
        message,
      })),
    );
  }
  let message: Bootstrap;
  try {
    message = fromEnvoyJson(BootstrapSchema, document.value);
  } catch (error) {
    throw new BootstrapRejected(file, [{ line: 1, column: 1, path: '', message: (error as Error).message }]);
  }
  const { bootstrap, problems, warnings } = readBootstrap(message);
  if (problems.length > 0) {
    throw new BootstrapRejected(file, locateProblems(document, problems));
  }
  return {
    ...bootstrap,
    warnings: locateProblems(document, warnings).map((warning) => formatProblem(file, warning)),
    rejected: (found) =>
      new BootstrapRejected(
        file,
        locateProblems(
          document,
          found.map((problem) => staticProblem(message, problem)),
        ),
      ),
  };
}

/** From a resource and a path inside it to a path of the file. */
function staticProblem(
  { staticResources }: Bootstrap,
  { resourceType, resourceName, path, message }: ConfigProblem,
): FieldProblem {
  const kind =
    resourceType === TYPE_URL.listener ? 'listeners' : resourceType === TYPE_URL.cluster ? 'clusters' : undefined;
  const index =
    kind === undefined ? -1 : (staticResources?.[kind] ?? []).findIndex(({ name }) => name === resourceName);
  if (index < 0) return { path: '', message: [resourceName, path, message].filter((part) => part !== '').join(' ') };
  const at = `static_resources.${kind}[${index}]`;
  return { path: path === '' ? at : `${at}.${path}`, message };
}

function locateProblems(document: LocatedDocument, problems: readonly FieldProblem[]): FileProblem[] {
  return problems.map(({ path, message }) => ({ ...document.locate(parseFieldPath(path)), path, message }));
}

function readBootstrap(message: Bootstrap): {
  bootstrap: Omit<SidecarBootstrap, 'rejected' | 'warnings'>;
  problems: readonly FieldProblem[];
  warnings: readonly FieldProblem[];
} {
  const out = new ProblemCollector();
  const runtime = readRuntime(message.layeredRuntime, out);
  const warnings = [...runtime.warnings];
  nameListeners(message.staticResources?.listeners ?? []);
  const controlPlane = controlPlaneClusterNames(message);
  const resources = message.staticResources;
  // Resources are walked one by one below, as they would be over xDS.
  const frame = { ...message, staticResources: undefined };
  out.problems.push(...findUnsupported(BootstrapSchema, frame, SUPPORT_TABLE));
  const all = resources?.clusters ?? [];
  const clusters = all.filter(({ name }) => !controlPlane.has(name));
  all.forEach((cluster, index) => {
    const at = `static_resources.clusters[${index}]`;
    if (cluster.name === LOCAL_SDS_CLUSTER) return; // never dialled, whatever it says
    if (controlPlane.has(cluster.name))
      addAll(out, at, findUnsupported(ClusterSchema, cluster, CONTROL_PLANE_SUPPORT_TABLE));
    else addAll(out, at, findProblems(TYPE_URL.cluster, cluster));
  });
  const clusterNames = new Set(clusters.map(({ name }) => name));
  resources?.listeners.forEach((listener, index) => {
    const at = `static_resources.listeners[${index}]`;
    const problems = findProblems(TYPE_URL.listener, listener);
    addAll(out, at, problems);
    if (problems.length > 0 || message.dynamicResources?.cdsConfig !== undefined) return;
    checkStaticRouteClusters(listener, clusterNames, at, out);
  });
  resources?.secrets.forEach((secret, index) => {
    addAll(out, `static_resources.secrets[${index}]`, findProblems(TYPE_URL.secret, secret));
  });
  for (const kind of ['listeners', 'clusters', 'secrets'] as const) {
    const names = (resources?.[kind] ?? []).map(({ name }) => name);
    checkUnique(names, (index) => `static_resources.${kind}[${index}].name`, 'the name', out);
  }
  const dynamic = readDynamicSources(message, out);
  const ads = readAdsConfig(message, out);
  if (out.problems.length === 0) {
    const hasAds = message.dynamicResources?.adsConfig !== undefined;
    const statics = { clusters, listeners: resources?.listeners ?? [] };
    const pathOf = (resource: Cluster | Listener) =>
      resource.$typeName === 'envoy.config.cluster.v3.Cluster'
        ? `static_resources.clusters[${all.indexOf(resource)}]`
        : `static_resources.listeners[${statics.listeners.indexOf(resource)}]`;
    checkStaticSources(statics, hasAds, pathOf, out);
  }
  if (ads !== undefined && (message.node === undefined || message.node.id === '')) {
    out.add('node.id', 'is required where a control plane is used');
  }
  const bootstrap = {
    node: message.node ?? create(NodeSchema),
    admin: readAdmin(message, out, warnings),
    connectionLimits: runtime.limits,
    listeners: resources?.listeners ?? [],
    clusters,
    secrets: resources?.secrets ?? [],
    ads,
    dynamic,
    message,
  };
  return { bootstrap, problems: out.problems, warnings };
}

function addAll(out: ProblemCollector, at: string, problems: readonly FieldProblem[]): void {
  for (const { path, message } of problems) out.add(path === '' ? at : `${at}.${path}`, message);
}

/** Envoy gives a listener without a name a random one; the same one at each start is easier to find again. */
function nameListeners(listeners: readonly Listener[]): void {
  const taken = new Set(listeners.map(({ name }) => name));
  for (const listener of listeners) {
    const address = listener.address?.address;
    if (listener.name !== '' || address?.case !== 'socketAddress') continue;
    const { address: host, portSpecifier } = address.value;
    const base = `${host}_${portSpecifier.case === 'portValue' ? portSpecifier.value : 0}`;
    let name = base;
    for (let count = 2; taken.has(name); count++) name = `${base}_${count}`;
    taken.add(name);
    listener.name = name;
  }
}

/** Loopback, of the family of an address that means every address of the host. */
const LOOPBACK_OF: ReadonlyMap<string, string> = new Map([
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
]);

function readAdmin(message: Bootstrap, out: ProblemCollector, warnings: FieldProblem[]): SidecarBootstrap['admin'] {
  if (message.admin?.address === undefined) return undefined;
  const before = out.problems.length;
  checkIpAddress(message.admin.address, 'admin.address', out, 0);
  const { address } = message.admin.address;
  if (out.problems.length > before || address.case !== 'socketAddress') return undefined;
  const { address: host, portSpecifier } = address.value;
  if (portSpecifier.case !== 'portValue') return undefined;
  const path = 'admin.address.socket_address.address';
  const loopback = LOOPBACK_OF.get(host);
  if (loopback !== undefined) {
    warnings.push({ path, message: `the admin API is only served on a loopback address: ${loopback} is used` });
    return { address: loopback, port: portSpecifier.value };
  }
  if (!isLoopbackAddress(host)) {
    out.add(path, 'the admin API is only served on a loopback address');
    return undefined;
  }
  return { address: host, port: portSpecifier.value };
}
