// Objects: a validated document, typed by its kind.
import type { DestinationRuleSpec } from './kinds/destination-rule.js';
import type { GatewaySpec } from './kinds/gateway.js';
import type { HealthCheckSpec } from './kinds/lateen/health-check.js';
import type { RateLimitSpec } from './kinds/lateen/rate-limit.js';
import type { PeerAuthenticationSpec } from './kinds/peer-authentication.js';
import type { AuthorizationPolicySpec } from './kinds/policies/authorization-policy.js';
import type { EnvoyFilterSpec } from './kinds/policies/envoy-filter.js';
import type { RequestAuthenticationSpec } from './kinds/policies/request-authentication.js';
import type { WasmPluginSpec } from './kinds/policies/wasm-plugin.js';
import type { ServiceEntrySpec } from './kinds/service-entry.js';
import type { SidecarSpec } from './kinds/sidecar.js';
import type { TelemetrySpec } from './kinds/telemetry.js';
import type { VirtualServiceSpec } from './kinds/virtual-service.js';
import type { ProxyConfigSpec } from './kinds/workloads/proxy-config.js';
import type { WorkloadEntrySpec } from './kinds/workloads/workload-entry.js';
import type { WorkloadGroupSpec } from './kinds/workloads/workload-group.js';
import type { DeploymentSpec, NamespaceSpec, ServiceAccountSpec, ServiceSpec } from './kubernetes/kinds.js';
import type { SecretBody } from './kubernetes/secret.js';

/** The spec of each Istio kind that is declared. */
export interface IstioSpecs {
  readonly VirtualService: VirtualServiceSpec;
  readonly DestinationRule: DestinationRuleSpec;
  readonly Gateway: GatewaySpec;
  readonly Sidecar: SidecarSpec;
  readonly PeerAuthentication: PeerAuthenticationSpec;
  readonly Telemetry: TelemetrySpec;
  readonly ServiceEntry: ServiceEntrySpec;
  readonly WorkloadEntry: WorkloadEntrySpec;
  readonly WorkloadGroup: WorkloadGroupSpec;
  readonly ProxyConfig: ProxyConfigSpec;
  readonly AuthorizationPolicy: AuthorizationPolicySpec;
  readonly RequestAuthentication: RequestAuthenticationSpec;
  readonly WasmPlugin: WasmPluginSpec;
  readonly EnvoyFilter: EnvoyFilterSpec;
  readonly RateLimit: RateLimitSpec;
  readonly HealthCheck: HealthCheckSpec;
}

/** The spec of each Kubernetes kind that local mode takes. */
export interface KubernetesSpecs {
  readonly Namespace: NamespaceSpec;
  readonly ServiceAccount: ServiceAccountSpec;
  readonly Service: ServiceSpec;
  readonly Deployment: DeploymentSpec;
  /** Its fields stand beside the metadata; the values are hidden. */
  readonly Secret: SecretBody;
}

export type IstioKind = keyof IstioSpecs;
export type KubernetesKind = keyof KubernetesSpecs;
export type Kind = IstioKind | KubernetesKind;

/** The spec of a kind. */
export type SpecOf<K extends Kind> = K extends IstioKind
  ? IstioSpecs[K]
  : K extends KubernetesKind
    ? KubernetesSpecs[K]
    : never;

export interface ObjectMetadata {
  readonly name: string;
  /** '' for a kind without namespaces (Namespace). */
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** RFC 3339, as written or as the store set it. */
  readonly creationTimestamp?: string;
  readonly resourceVersion?: string;
}

/** Where an object was written; line and column are 1-based. */
export interface SourcePosition {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** An object of one kind; with no argument, of any kind, told apart by `kind`. */
export type ConfigObject<K extends Kind = Kind> = {
  [P in K]: {
    /** As it was written, for example `networking.istio.io/v1alpha3`. */
    readonly apiVersion: string;
    readonly kind: P;
    readonly metadata: ObjectMetadata;
    readonly spec: SpecOf<P>;
    readonly source: SourcePosition;
  };
}[K];

/** `KIND/NAMESPACE/NAME`, which is unique in a mesh. */
export function objectKey(object: ConfigObject): string {
  return `${object.kind}/${object.metadata.namespace}/${object.metadata.name}`;
}

/** Narrows a list to the objects of one kind. */
export function objectsOfKind<K extends Kind>(objects: Iterable<ConfigObject>, kind: K): ConfigObject<K>[] {
  const found: ConfigObject<K>[] = [];
  for (const object of objects) {
    // The check of `kind` is what makes this right; a generic kind does not narrow a union by itself.
    if (object.kind === kind) found.push(object as ConfigObject<K>);
  }
  return found;
}
