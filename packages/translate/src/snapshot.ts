// Translate: makes the immutable snapshot of the mesh: sorts, drops duplicates, hashes.

import type { ConfigObject, Kind } from '@lateen/istio-config';
import { discoveredNamespaces } from './discovered-namespaces.js';
import type { MeshSnapshot, Problem, Service, SnapshotHashes, SnapshotInput, StringMap, Workload } from './model.js';
import { isDryRun } from './resolve/authorization/dry-run.js';
import { preferredPlace } from './resolve/locality/preferred-place.js';
import { compareText, contentHash, stableHash } from './stable-hash.js';

const ROOT_NAMESPACE = 'istio-system';
const TRUST_DOMAIN = 'cluster.local';

interface Named {
  readonly namespace: string;
  readonly name: string;
}

function compareNamed(a: Named, b: Named): number {
  return compareText(a.namespace, b.namespace) || compareText(a.name, b.name);
}

/** Sorts and keeps the first of each namespace and name; the rest become problems. */
function uniqueSorted<T extends Named>(kind: string, items: readonly T[], problems: Problem[]): readonly T[] {
  const sorted = [...items].sort((a, b) => compareNamed(a, b) || compareText(contentHash(a), contentHash(b)));
  return sorted.filter((item, index) => {
    const before = sorted[index - 1];
    if (before === undefined || compareNamed(before, item) !== 0) return true;
    problems.push({
      code: 'duplicate-registry-entry',
      severity: 'warning',
      subject: `${kind}/${item.namespace}/${item.name}`,
      message: `the registry reports ${kind} ${item.namespace}/${item.name} more than once; one of them is used`,
    });
    return false;
  });
}

/** When the object was created; one without a time counts as the newest. */
function creationTimeMs({ metadata }: ConfigObject): number {
  const timeMs = Date.parse(metadata.creationTimestamp ?? '');
  return Number.isNaN(timeMs) ? Number.MAX_SAFE_INTEGER : timeMs;
}

/** Oldest first; ties by namespace and name: Istio's order of precedence. */
function compareByAge(a: ConfigObject, b: ConfigObject): number {
  return creationTimeMs(a) - creationTimeMs(b) || compareNamed(a.metadata, b.metadata);
}

function groupByKind(configs: readonly ConfigObject[]): ReadonlyMap<Kind, readonly ConfigObject[]> {
  const byKind = new Map<Kind, ConfigObject[]>();
  for (const config of configs) {
    const group = byKind.get(config.kind);
    if (group) group.push(config);
    else byKind.set(config.kind, [config]);
  }
  for (const group of byKind.values()) group.sort(compareByAge);
  return new Map([...byKind].sort(([a], [b]) => compareText(a, b)));
}

/** Annotation of a WorkloadEntry: `false` takes it out of the endpoints. Pilot sets it on those that it registers. */
export const HEALTHY_ANNOTATION = 'lateen.io/healthy';

export function isHealthy(annotations: StringMap): boolean {
  return annotations[HEALTHY_ANNOTATION] !== 'false';
}

/** Label of a ServiceEntry, as in Istio: `false` keeps it from getting addresses that nobody wrote. */
const AUTO_ADDRESS_LABEL = 'networking.istio.io/enable-autoallocate-ip';

export function takesAutoAddresses(labels: StringMap): boolean {
  return labels[AUTO_ADDRESS_LABEL]?.toLowerCase() !== 'false';
}

const configHashes = new WeakMap<ConfigObject, string>();

/** Hash of what translation reads of a config object: kind, name, age, spec, labels that select; not where it was written. */
export function configHash(config: ConfigObject): string {
  let hash = configHashes.get(config);
  if (hash === undefined) {
    const { namespace, name, creationTimestamp, labels, annotations } = config.metadata;
    // Services select WorkloadEntries by the labels of the resource, and call those that are well.
    const selected = config.kind === 'WorkloadEntry' ? [labels, isHealthy(annotations)] : undefined;
    const ofEntry =
      config.kind === 'ServiceEntry' ? [preferredPlace(undefined, annotations), takesAutoAddresses(labels)] : undefined;
    const tried = config.kind === 'AuthorizationPolicy' && isDryRun(annotations) ? 'dry run' : undefined;
    hash = stableHash([config.kind, namespace, name, creationTimestamp, config.spec, selected ?? ofEntry ?? tried]);
    configHashes.set(config, hash);
  }
  return hash;
}

const workloadHashes = new WeakMap<Workload, string>();

/** Service addresses are hashed for themselves: they are most of a workload, and some keys are made of them alone. */
function workloadHash(workload: Workload): string {
  let hash = workloadHashes.get(workload);
  if (hash === undefined) {
    const { serviceAddresses, ...rest } = workload;
    hash = stableHash([contentHash(serviceAddresses), rest]);
    workloadHashes.set(workload, hash);
  }
  return hash;
}

const serviceHashes = new WeakMap<Service, string>();

/** Hash of a service as declared: who answers for it changes more often, and is hashed with the workloads. */
export function serviceHash(service: Service): string {
  let hash = serviceHashes.get(service);
  if (hash === undefined) {
    const { endpoints: _, ...declared } = service;
    hash = stableHash(declared);
    serviceHashes.set(service, hash);
  }
  return hash;
}

function endpointsHash({ endpoints }: Service): string | undefined {
  return endpoints && contentHash(endpoints);
}

/**
 * Builds a snapshot. Never fails: what cannot be used is left out and told in `problems`. Equal inputs, in any order,
 * give equal content hashes. The input's objects are kept, not copied: do not change them afterwards.
 */
export function buildSnapshot(input: SnapshotInput): MeshSnapshot {
  const problems: Problem[] = [];
  const meshConfig = input.meshConfig ?? {};
  const namespaces = [...input.namespaces].sort((a, b) => compareText(a.name, b.name));
  const rootNamespace = meshConfig.rootNamespace || ROOT_NAMESPACE;
  const isDiscovered = discoveredNamespaces(meshConfig.discoverySelectors, namespaces, rootNamespace);
  const discovered = <T extends { readonly namespace: string }>(items: readonly T[]) =>
    items.filter(({ namespace }) => isDiscovered(namespace));
  const services = uniqueSorted('Service', discovered(input.services), problems);
  const workloads = uniqueSorted('Workload', discovered(input.workloads), problems);
  const credentials = uniqueSorted('Secret', discovered(input.credentials ?? []), problems);
  const configsByKind = groupByKind(input.configs.filter(({ metadata }) => isDiscovered(metadata.namespace)));
  const tokenKeys = input.tokenKeys ?? {};
  const hashes: SnapshotHashes = {
    settings: stableHash(meshConfig),
    services: stableHash(services.map(serviceHash)),
    workloads: stableHash([workloads.map(workloadHash), services.map(endpointsHash)]),
    credentials: stableHash(credentials.map(contentHash)),
    configs: new Map([...configsByKind].map(([kind, configs]) => [kind, stableHash(configs.map(configHash))])),
  };
  return {
    contentHash: stableHash([hashes, namespaces, ...(Object.keys(tokenKeys).length === 0 ? [] : [tokenKeys])]),
    hashes,
    rootNamespace,
    discovers: isDiscovered,
    trustDomain: meshConfig.trustDomain || TRUST_DOMAIN,
    clusterDomain: 'cluster.local',
    meshConfig,
    namespaces,
    services,
    workloads,
    credentials,
    tokenKeys,
    configsByKind,
    problems,
  };
}

/** The config objects of a kind, oldest first. */
export function configsOf<K extends Kind>(snapshot: MeshSnapshot, kind: K): readonly ConfigObject<K>[] {
  // groupByKind put only objects of this kind there.
  return (snapshot.configsByKind.get(kind) ?? []) as readonly ConfigObject<K>[];
}
