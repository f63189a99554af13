// Resolve: a service before its ports are judged, wherever it was declared: by the registry, or by ServiceEntries.

import type { ServiceEndpoint, ServicePort, StringMap, Workload } from '../../model.js';
import type { PreferredPlace } from '../locality/preferred-place.js';

/**
 * How a client finds the endpoints, as Istio's clusters do it. `PASSTHROUGH` goes where the connection was going,
 * `FORWARD` to the host that the request names.
 */
export type Resolution = 'EDS' | 'STRICT_DNS' | 'LOGICAL_DNS' | 'PASSTHROUGH' | 'FORWARD';

/** Somebody who answers for a service and is no pod: an endpoint of a ServiceEntry, or a WorkloadEntry. */
export interface EntryEndpoint {
  /** Of the WorkloadEntry, or the ServiceEntry's with a number: what metrics call it. */
  readonly name: string;
  readonly namespace: string;
  /** IP address, DNS name, or the absolute path of a socket. */
  readonly address: string;
  /** By the name of the service's port. */
  readonly ports: Readonly<Record<string, number>>;
  readonly labels: StringMap;
  readonly weight: number;
  /** `REGION/ZONE/SUBZONE`, or empty. */
  readonly locality: string;
  /** Empty where it has none. */
  readonly serviceAccount: string;
  /** It has a sidecar that takes mutual TLS. */
  readonly mutualTls: boolean;
  /** It is well: it gets calls. */
  readonly ready: boolean;
  /** The ports of the service that it answers at; undefined: all. */
  readonly servesOnly?: readonly number[];
  /** It answers at the service ports that `ports` names, and at no others. */
  readonly namedPortsOnly?: boolean;
  /** Name of its machine; undefined where nobody says. */
  readonly node?: string;
}

/** A pod that answers for a service, and where it does. */
export interface PodEndpoint extends Pick<ServiceEndpoint, 'ports' | 'ready' | 'hostname'> {
  readonly workload: Workload;
  readonly address: string;
}

/** Another name of a service: a Service of type ExternalName. */
export interface ServiceAlias {
  readonly hostname: string;
  readonly namespace: string;
  readonly name: string;
}

/** What was said of a service, and who answers for it. */
export interface ServiceDeclaration {
  readonly kind: 'Service' | 'ServiceEntry';
  /** Full name in lower case; a ServiceEntry's may be a wildcard. */
  readonly hostname: string;
  readonly namespace: string;
  /** Of the resource. */
  readonly name: string;
  /** `appProtocol` is the protocol that a ServiceEntry says. */
  readonly ports: readonly ServicePort[];
  readonly exportTo: readonly string[] | undefined;
  readonly resolution: Resolution;
  /** Not a part of the mesh: nobody there takes mutual TLS by itself. */
  readonly external: boolean;
  /** Addresses at which it is called and that stand for it in a Host header: ClusterIPs, those of a ServiceEntry but subnets. */
  readonly addresses: readonly string[];
  /** Whole subnets of a ServiceEntry, `ADDRESS/LENGTH`. */
  readonly subnets?: readonly string[];
  /** It gets addresses where it has none, for clients whose names are resolved by their proxies. */
  readonly takesAutoAddresses?: boolean;
  /** Names of which the server's certificate must have one. */
  readonly subjectAltNames: readonly string[];
  /** Selected pods, ready or not. */
  readonly workloads: readonly Workload[];
  /** The pods that answer, where a cluster says so. Undefined: the workloads that are ready. */
  readonly podEndpoints?: readonly PodEndpoint[] | undefined;
  readonly entries: readonly EntryEndpoint[];
  /** Its other names: a Host header may say them. They are not hosts that rules could be for. */
  readonly aliases?: readonly ServiceAlias[];
  /** It has no address of its own: clients call those of its endpoints. */
  readonly headless?: boolean;
  /** The headless service of which this is one pod, called by name. */
  readonly memberOf?: { readonly hostname: string; readonly name: string };
  /** Clients call the endpoints on their own node only. */
  readonly nodeLocal?: boolean;
  /** Endpoints in the client's own place are called before others, whether or not failures are noticed. */
  readonly prefers?: PreferredPlace | undefined;
  /** Hash of what was declared, endpoints that are selected not among it. */
  readonly hash: string;
}
