// Model: what analyzers ask about: which hosts, workloads and namespaces there are.

import {
  type ConfigObject,
  hostMatches,
  type Labels,
  objectsOfKind,
  protocolOfPort,
  resolveShortHost,
} from '@lateen/istio-config';
import type { RawObject, RawPodSpec, RawServiceSpec } from './raw-object.js';

/** A host that can be called: a Service, or a host of a ServiceEntry. */
export interface KnownHost {
  /** Full; of ServiceEntries perhaps with a wildcard. */
  readonly host: string;
  readonly namespace: string;
  readonly object: RawObject | ConfigObject<'ServiceEntry'>;
  readonly ports: readonly { readonly port: number; readonly name: string; readonly protocol: string }[];
  /** Labels of its workloads; undefined where they are not chosen by labels. */
  readonly selector: Labels | undefined;
  readonly exportTo: readonly string[];
}

/** Pods of one template. */
export interface Workload {
  readonly object: RawObject;
  readonly namespace: string;
  readonly labels: Labels;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: RawPodSpec;
  readonly serviceAccount: string;
}

const TEMPLATED = new Set(['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job', 'ReplicationController']);

export class MeshModel {
  readonly hosts: readonly KnownHost[];
  readonly workloads: readonly Workload[];
  readonly namespaces: ReadonlyMap<string, RawObject>;

  constructor(
    readonly objects: readonly ConfigObject[],
    readonly raw: readonly RawObject[],
    readonly rootNamespace: string,
  ) {
    this.workloads = raw.flatMap(workloadOf);
    this.namespaces = new Map(this.rawOfKind('Namespace').map((object) => [object.metadata.name, object]));
    this.hosts = [...this.rawOfKind('Service').map(serviceHost), ...this.of('ServiceEntry').flatMap(entryHosts)];
  }

  of<K extends ConfigObject['kind']>(kind: K): ConfigObject<K>[] {
    return objectsOfKind(this.objects, kind);
  }

  rawOfKind(kind: string): RawObject[] {
    return this.raw.filter((object) => object.kind === kind);
  }

  /** Whether anything is known of what runs: in a folder of routes alone nothing can be missing. */
  get knowsServices(): boolean {
    return this.hosts.length > 0;
  }

  /** Whether any namespace says something of injection: without, nothing is known of proxies (a laptop's mesh has them all). */
  get knowsInjection(): boolean {
    return [...this.namespaces.values()].some(({ metadata: { labels = {} } }) =>
      ['istio-injection', 'istio.io/rev'].some((key) => labels[key] !== undefined),
    );
  }

  get knowsWorkloads(): boolean {
    return this.workloads.length > 0;
  }

  /** What a host in a resource of a namespace means; several where ServiceEntries overlap. */
  hostsNamed(host: string, namespace: string): readonly KnownHost[] {
    const full = resolveShortHost(host, namespace);
    return this.hosts.filter((known) => hostMatches(known.host, full) || hostMatches(full, known.host));
  }

  /** Workloads of a namespace that have these labels; in the root namespace, of all. */
  workloadsSelected(namespace: string, labels: Labels | undefined): readonly Workload[] {
    return this.workloads.filter(
      (workload) =>
        (workload.namespace === namespace || namespace === this.rootNamespace) && hasLabels(workload.labels, labels),
    );
  }

  /** Workloads of a service. */
  workloadsOf({ namespace, selector }: KnownHost): readonly Workload[] {
    if (selector === undefined) return [];
    return this.workloads.filter((each) => each.namespace === namespace && hasLabels(each.labels, selector));
  }
}

export function hasLabels(labels: Labels, wanted: Labels | undefined): boolean {
  return Object.entries(wanted ?? {}).every(([key, value]) => labels[key] === value);
}

function workloadOf(object: RawObject): Workload[] {
  const { kind, metadata } = object;
  const owned = metadata.ownerReferences?.some(({ controller }) => controller === true) === true;
  // What a controller has made is looked at as its controller says it.
  if ((kind !== 'Pod' && !TEMPLATED.has(kind)) || (owned && kind !== 'Pod')) return [];
  if (kind === 'Pod' && owned) return [];
  const spec = object.spec as { template?: Template } & RawPodSpec;
  const template: Template = kind === 'Pod' ? { metadata, spec } : (spec?.template ?? {});
  const podSpec = template.spec ?? {};
  return [
    {
      object,
      namespace: metadata.namespace ?? 'default',
      labels: template.metadata?.labels ?? {},
      annotations: template.metadata?.annotations ?? {},
      spec: podSpec,
      serviceAccount: podSpec.serviceAccountName ?? 'default',
    },
  ];
}

interface Template {
  readonly metadata?: Pick<RawObject['metadata'], 'labels' | 'annotations'>;
  readonly spec?: RawPodSpec;
}

function serviceHost(object: RawObject): KnownHost {
  const { name, namespace = 'default', annotations = {} } = object.metadata;
  const spec = (object.spec ?? {}) as RawServiceSpec;
  const selector = spec.selector !== undefined && Object.keys(spec.selector).length > 0 ? spec.selector : undefined;
  return {
    host: `${name}.${namespace}.svc.cluster.local`,
    namespace,
    object,
    ports: (spec.ports ?? []).map((port) => ({
      port: port.port,
      name: port.name ?? '',
      protocol: protocolOfPort(port) ?? 'unknown',
    })),
    selector,
    exportTo: annotations['networking.istio.io/exportTo']?.split(',').map((each) => each.trim()) ?? ['*'],
  };
}

function entryHosts(object: ConfigObject<'ServiceEntry'>): KnownHost[] {
  const { spec, metadata } = object;
  return (spec.hosts ?? []).map((host) => ({
    host: host.toLowerCase(),
    namespace: metadata.namespace,
    object,
    ports: (spec.ports ?? []).map(({ number, name, protocol }) => ({
      port: number ?? 0,
      name: name ?? '',
      protocol: (protocol ?? '').toLowerCase() || 'unknown',
    })),
    selector: spec.workloadSelector?.labels,
    exportTo: spec.exportTo ?? ['*'],
  }));
}
