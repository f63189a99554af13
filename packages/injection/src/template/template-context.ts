// Templates: what they can use, worked out of a pod, the mesh and the values, so that templates hold the shape and no rules.
// docs/injection.md lists it for users: names here are an interface.

import type { MeshConfig, ProxyConfig } from '@lateen/istio-config';
import { isObject, type JsonObject } from '../config/deep-merge.js';
import type { InjectionConfig } from '../config/injection-config.js';
import type { InjectionValues } from '../config/values.js';
import { DEFAULT_REVISION } from '../decide/webhooks.js';
import { annotationsOf, labelsOf, type ObjectMeta, type Pod, type PodSpec, STATUS_PORT } from '../pod.js';
import { LOG_LEVEL_WORDS } from '../settings/annotations.js';
import { effectiveProxyConfig, type MeshSettings } from '../settings/proxy-config.js';
import { proxyResources, type Resources } from '../settings/resources.js';
import { type Workload, workloadOf } from '../settings/workload.js';

/** What injection goes by, beside the pod. */
export interface InjectionSource {
  readonly config: InjectionConfig;
  readonly mesh: MeshSettings;
  readonly revision: string;
  /** The release, for the tag of images where the values have none. */
  readonly version: string;
  /** Whether the API server knows native sidecars (Kubernetes 1.29); for `nativeSidecar: auto`. */
  readonly knowsNativeSidecars: boolean;
}

export interface ProxyContext {
  readonly image: string;
  readonly initImage: string;
  readonly logLevel: string;
  readonly native: boolean;
  /** The application waits for the proxy: only asked for where it is a container beside it. */
  readonly hold: boolean;
  readonly resources: Resources;
  /** More volumes, and where the proxy has them. */
  readonly userVolumes: readonly JsonObject[];
  readonly userVolumeMounts: readonly JsonObject[];
  readonly readiness: {
    readonly initialDelaySeconds: number;
    readonly periodSeconds: number;
    readonly failureThreshold: number;
  };
  readonly pilotAddress: string;
  readonly citadelAddress: string;
  readonly trustDomain: string;
  readonly meshId: string;
  readonly config: ProxyConfig;
  readonly configJson: string;
  /** `proxyMetadata`, as variables. */
  readonly metadataEnv: readonly { readonly name: string; readonly value: string }[];
}

export interface RedirectContext {
  readonly mode: string;
  readonly cni: boolean;
  readonly dns: boolean;
  readonly includeOutboundIPRanges: string;
  readonly excludeOutboundIPRanges: string;
  readonly includeInboundPorts: string;
  readonly excludeInboundPorts: string;
  readonly includeOutboundPorts: string;
  readonly excludeOutboundPorts: string;
  readonly excludeInterfaces: string;
}

/** The application's own containers. */
export interface AppContext {
  readonly first: string;
  readonly containers: string;
  readonly portsJson: string;
}

export interface TemplateContext {
  readonly metadata: ObjectMeta;
  readonly spec: PodSpec;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly namespace: string;
  readonly network: string;
  readonly revision: string;
  readonly values: InjectionValues;
  readonly meshConfig: MeshConfig;
  readonly workload: Workload;
  readonly proxy: ProxyContext;
  readonly redirect: RedirectContext;
  readonly app: AppContext;
}

export interface InjectionTarget {
  /** Without what an earlier injection has put into it. */
  readonly pod: Pod;
  readonly namespace: string;
  /** What is injected where that is no pod itself: a Deployment in a file. */
  readonly workload?: { readonly name: string; readonly kind: string; readonly apiVersion: string };
}

/** Ports that redirect rules never take: of the proxy itself. */
const OWN_PORTS = ['15090', '15021', String(STATUS_PORT)];

/** Whether the proxy is a native sidecar: the pod's annotation, else the values, else what the API server can do. */
function isNative(annotations: Readonly<Record<string, string>>, source: InjectionSource): boolean {
  const own = annotations['sidecar.istio.io/nativeSidecar'];
  if (own !== undefined) return own.toLowerCase() === 'true';
  const { nativeSidecar } = source.config.values.global.proxy;
  return nativeSidecar === 'auto' ? source.knowsNativeSidecars : nativeSidecar;
}

export function templateContext(target: InjectionTarget, source: InjectionSource): TemplateContext {
  const { pod, namespace } = target;
  const { values } = source.config;
  const config = effectiveProxyConfig(source.mesh, pod, namespace);
  const labels = labelsOf(pod);
  return {
    metadata: pod.metadata ?? {},
    spec: pod.spec ?? {},
    labels,
    annotations: annotationsOf(pod),
    namespace,
    network: labels['topology.istio.io/network'] ?? values.global.network,
    revision: source.revision,
    values,
    meshConfig: source.mesh.meshConfig,
    workload: workloadOf(pod, namespace, target.workload),
    proxy: proxyContext(target, source, config),
    redirect: redirectContext(pod, values, config),
    app: appContext(pod),
  };
}

function proxyContext({ pod }: InjectionTarget, source: InjectionSource, config: ProxyConfig): ProxyContext {
  const annotations = annotationsOf(pod);
  const { global } = source.config.values;
  const native = isNative(annotations, source);
  const tag = global.tag === '' ? source.version : global.tag;
  const reference = (image: string) => (image.includes('/') ? image : `${global.hub}/${image}:${tag}`);
  const image = annotations['sidecar.istio.io/proxyImage'] ?? reference(global.proxy.image);
  const level = annotations['sidecar.istio.io/logLevel'] ?? global.proxy.logLevel;
  const suffix = source.revision === DEFAULT_REVISION ? '' : `-${source.revision}`;
  const { rootNamespace } = source.mesh;
  const seconds = (name: string, fallback: number) =>
    Number(annotations[`readiness.status.sidecar.istio.io/${name}`] ?? fallback);
  return {
    image,
    initImage: global.proxy_init.image === '' ? image : reference(global.proxy_init.image),
    logLevel: LOG_LEVEL_WORDS[level] ?? level,
    native,
    hold: !native && (config.holdApplicationUntilProxyStarts ?? global.proxy.holdApplicationUntilProxyStarts),
    resources: proxyResources(annotations, global.proxy.resources),
    userVolumes: namedEntries(annotations['sidecar.istio.io/userVolume']),
    userVolumeMounts: namedEntries(annotations['sidecar.istio.io/userVolumeMount']),
    readiness: {
      initialDelaySeconds: seconds('initialDelaySeconds', global.proxy.readinessInitialDelaySeconds),
      periodSeconds: seconds('periodSeconds', global.proxy.readinessPeriodSeconds),
      failureThreshold: seconds('failureThreshold', global.proxy.readinessFailureThreshold),
    },
    pilotAddress: config.discoveryAddress || global.pilotAddress || `pilot${suffix}.${rootNamespace}.svc:15012`,
    citadelAddress: global.citadelAddress || `citadel${suffix}.${rootNamespace}.svc:8060`,
    trustDomain: source.mesh.meshConfig.trustDomain ?? 'cluster.local',
    meshId: config.meshId || global.meshId,
    config,
    configJson: JSON.stringify(config),
    metadataEnv: Object.entries(config.proxyMetadata ?? {}).map(([name, value]) => ({ name, value })),
  };
}

/** JSON: a list, or entries by name; that it is JSON was checked. */
function namedEntries(text: string | undefined): JsonObject[] {
  if (text === undefined) return [];
  const value: unknown = JSON.parse(text);
  if (Array.isArray(value)) return value.filter(isObject);
  return isObject(value) ? Object.entries(value).map(([name, entry]) => ({ name, ...(isObject(entry) && entry) })) : [];
}

function redirectContext(pod: Pod, values: InjectionValues, config: ProxyConfig): RedirectContext {
  const annotations = annotationsOf(pod);
  const { proxy } = values.global;
  const traffic = (name: string, fallback: string) => annotations[`traffic.sidecar.istio.io/${name}`] ?? fallback;
  const excluded = traffic('excludeInboundPorts', proxy.excludeInboundPorts);
  const ports = [...OWN_PORTS, ...excluded.split(',').map((each) => each.trim())];
  return {
    mode: annotations['sidecar.istio.io/interceptionMode'] ?? config.interceptionMode ?? 'REDIRECT',
    cni: values.pilot.cni.enabled,
    dns: config.proxyMetadata?.ISTIO_META_DNS_CAPTURE === 'true',
    includeOutboundIPRanges: traffic('includeOutboundIPRanges', proxy.includeIPRanges),
    excludeOutboundIPRanges: traffic('excludeOutboundIPRanges', proxy.excludeIPRanges),
    includeInboundPorts: traffic('includeInboundPorts', proxy.includeInboundPorts),
    excludeInboundPorts: [...new Set(ports)].filter((each) => each !== '').join(','),
    includeOutboundPorts: traffic('includeOutboundPorts', proxy.includeOutboundPorts),
    excludeOutboundPorts: traffic('excludeOutboundPorts', proxy.excludeOutboundPorts),
    excludeInterfaces: traffic('excludeInterfaces', ''),
  };
}

function appContext({ spec = {} }: Pod): AppContext {
  const containers = (spec.containers ?? []).filter(({ name }) => name !== 'istio-proxy');
  const native = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  const ports = [...(spec.containers ?? []), ...native].flatMap((container) => container.ports ?? []);
  const told = ports.map(({ name, containerPort, protocol }) => ({
    ...(name !== undefined && { name }),
    containerPort,
    ...(protocol !== undefined && { protocol }),
  }));
  return {
    first: containers[0]?.name ?? '',
    containers: containers.map(({ name }) => name).join(','),
    portsJson: JSON.stringify(told),
  };
}
