// Kinds: all that are declared, their names, API versions and schemas, and the ones that are known but refused.
import type { z } from 'zod';
import { kubernetesSpecs } from '../kubernetes/kinds.js';
import type { IstioKind, Kind, KubernetesKind } from '../object.js';
import { destinationRule } from './destination-rule.js';
import { gateway } from './gateway.js';
import { healthCheck } from './lateen/health-check.js';
import { rateLimit } from './lateen/rate-limit.js';
import { peerAuthentication } from './peer-authentication.js';
import { authorizationPolicy } from './policies/authorization-policy.js';
import { envoyFilter } from './policies/envoy-filter.js';
import { requestAuthentication } from './policies/request-authentication.js';
import { wasmPlugin } from './policies/wasm-plugin.js';
import { serviceEntry } from './service-entry.js';
import { sidecar } from './sidecar.js';
import { telemetry } from './telemetry.js';
import { virtualService } from './virtual-service.js';
import { proxyConfigKind } from './workloads/proxy-config.js';
import { workloadEntry } from './workloads/workload-entry.js';
import { workloadGroup } from './workloads/workload-group.js';

/** What is known of a kind before any document of it. */
export interface KindDescription<K extends Kind = Kind> {
  readonly kind: K;
  /** For example `virtualservices`. */
  readonly plural: string;
  readonly shortNames: readonly string[];
  /** '' for the Kubernetes core. */
  readonly group: string;
  /** Served versions, the newest first. */
  readonly versions: readonly string[];
  /** Whether objects live in a namespace. */
  readonly namespaced: boolean;
  /** `istio`: goes to Galley. `kubernetes`: goes to the supervisor in local mode. */
  readonly family: 'istio' | 'kubernetes';
}

const NETWORKING = { group: 'networking.istio.io', versions: ['v1', 'v1beta1', 'v1alpha3'] } as const;
const SECURITY = { group: 'security.istio.io', versions: ['v1', 'v1beta1'] } as const;
/** What Istio has no kind for. */
const LATEEN = { group: 'lateen.io', versions: ['v1alpha1'] } as const;
const TELEMETRY = { group: 'telemetry.istio.io', versions: ['v1', 'v1alpha1'] } as const;

type Entry = Omit<KindDescription, 'kind' | 'family' | 'namespaced'> & { readonly schema: z.ZodObject };

const ISTIO: Readonly<Record<IstioKind, Entry>> = {
  VirtualService: { ...NETWORKING, plural: 'virtualservices', shortNames: ['vs'], schema: virtualService },
  DestinationRule: { ...NETWORKING, plural: 'destinationrules', shortNames: ['dr'], schema: destinationRule },
  Gateway: { ...NETWORKING, plural: 'gateways', shortNames: ['gw'], schema: gateway },
  Sidecar: { ...NETWORKING, plural: 'sidecars', shortNames: [], schema: sidecar },
  PeerAuthentication: { ...SECURITY, plural: 'peerauthentications', shortNames: ['pa'], schema: peerAuthentication },
  Telemetry: { ...TELEMETRY, plural: 'telemetries', shortNames: ['telemetry'], schema: telemetry },
  ServiceEntry: { ...NETWORKING, plural: 'serviceentries', shortNames: ['se'], schema: serviceEntry },
  WorkloadEntry: { ...NETWORKING, plural: 'workloadentries', shortNames: ['we'], schema: workloadEntry },
  WorkloadGroup: { ...NETWORKING, plural: 'workloadgroups', shortNames: ['wg'], schema: workloadGroup },
  ProxyConfig: {
    group: NETWORKING.group,
    versions: ['v1beta1'],
    plural: 'proxyconfigs',
    shortNames: [],
    schema: proxyConfigKind,
  },
  AuthorizationPolicy: {
    ...SECURITY,
    plural: 'authorizationpolicies',
    shortNames: ['ap'],
    schema: authorizationPolicy,
  },
  RequestAuthentication: {
    ...SECURITY,
    plural: 'requestauthentications',
    shortNames: ['ra'],
    schema: requestAuthentication,
  },
  WasmPlugin: {
    group: 'extensions.istio.io',
    versions: ['v1alpha1'],
    plural: 'wasmplugins',
    shortNames: [],
    schema: wasmPlugin,
  },
  EnvoyFilter: {
    group: NETWORKING.group,
    versions: ['v1alpha3'],
    plural: 'envoyfilters',
    shortNames: [],
    schema: envoyFilter,
  },
  RateLimit: { ...LATEEN, plural: 'ratelimits', shortNames: ['rl'], schema: rateLimit },
  HealthCheck: { ...LATEEN, plural: 'healthchecks', shortNames: ['hc'], schema: healthCheck },
};

const CORE = { group: '', versions: ['v1'] } as const;

const KUBERNETES: Readonly<Record<KubernetesKind, Entry>> = {
  Namespace: { ...CORE, plural: 'namespaces', shortNames: ['ns'], schema: kubernetesSpecs.Namespace },
  ServiceAccount: { ...CORE, plural: 'serviceaccounts', shortNames: ['sa'], schema: kubernetesSpecs.ServiceAccount },
  Service: { ...CORE, plural: 'services', shortNames: ['svc'], schema: kubernetesSpecs.Service },
  Deployment: {
    group: 'apps',
    versions: ['v1'],
    plural: 'deployments',
    shortNames: ['deploy'],
    schema: kubernetesSpecs.Deployment,
  },
  Secret: { ...CORE, plural: 'secrets', shortNames: [], schema: kubernetesSpecs.Secret },
};

const ENTRIES: Readonly<Record<Kind, Entry>> = { ...ISTIO, ...KUBERNETES };

/** The Istio kinds that are declared. */
export const ISTIO_KINDS = Object.keys(ISTIO) as readonly IstioKind[];

/** The Kubernetes kinds that local mode takes. */
export const KUBERNETES_KINDS = Object.keys(KUBERNETES) as readonly KubernetesKind[];

/** The schema of a kind's spec. */
export function specSchema(kind: Kind): z.ZodObject {
  return ENTRIES[kind].schema;
}

/** Whether a word is a declared kind, spelled exactly. */
export function isKind(word: string): word is Kind {
  return Object.hasOwn(ENTRIES, word);
}

/** Whether a kind is one of Istio's. */
export function isIstioKind(kind: string): kind is IstioKind {
  return Object.hasOwn(ISTIO, kind);
}

/** What is known of a kind. */
export function describeKind<K extends Kind>(kind: K): KindDescription<K> {
  const { schema: _, ...rest } = ENTRIES[kind];
  return { kind, ...rest, namespaced: kind !== 'Namespace', family: isIstioKind(kind) ? 'istio' : 'kubernetes' };
}

/**
 * Finds a kind as users spell it: `VirtualService`, `virtualservice`, `virtualservices`, `vs`,
 * `virtualservices.networking.istio.io`; case does not matter.
 */
export function kindByName(word: string): KindDescription | undefined {
  const wanted = word.toLowerCase();
  for (const kind of Object.keys(ENTRIES) as Kind[]) {
    const { plural, shortNames, group } = ENTRIES[kind];
    const names = [kind.toLowerCase(), plural, ...shortNames];
    if (names.some((name) => wanted === name || (group !== '' && wanted === `${name}.${group}`))) {
      return describeKind(kind);
    }
  }
  return undefined;
}
