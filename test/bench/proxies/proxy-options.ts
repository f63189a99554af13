// Benchmark: what a scenario asks of a proxy, whichever it is.

import type { CertificateFiles } from './certificates.js';

export interface RouteSeries {
  readonly kind: 'exact' | 'prefix' | 'regex';
  readonly count: number;
}

/** A path that the route of this number is for. */
export function pathOfRoute(index: number): string {
  return `/api/v1/service-${index}/resources`;
}

export interface ProxyOptions {
  readonly name: string;
  readonly listenPort: number;
  readonly backendPorts: readonly number[];
  /** Virtual hosts by name, each with a route that matches a header and one that does not (nginx: by name only). */
  readonly hostNames?: readonly string[];
  /** So many routes of one kind in one virtual host, each for a path of its own (only in bootstrap files). */
  readonly routes?: RouteSeries;
  /** Endpoints are chosen by a hash of the header `x-user` (only in bootstrap files). */
  readonly ringHash?: boolean;
  /** So many AuthorizationPolicies of 20 rules, which deny other requests (only in bootstrap files). */
  readonly denyPolicies?: number;
  /** The mesh filters: peer metadata exchange and istio_* metrics (only the sidecar has them). */
  readonly metrics?: boolean;
  readonly inbound?: boolean;
  readonly acceptTls?: CertificateFiles;
  /** With `acceptTls`: clients need no certificate. */
  readonly anyClient?: boolean;
  readonly originateTls?: CertificateFiles;
  /** Clients speak HTTP/2 without TLS. */
  readonly acceptHttp2?: boolean;
  /** Backends speak HTTP/2 without TLS. */
  readonly originateHttp2?: boolean;
  /** Path of the access log. */
  readonly accessLog?: string;
  /** Path of the audit log (only the sidecar has one). */
  readonly auditLog?: string;
  /** Lift limits that thousands of connections would reach. */
  readonly manyConnections?: boolean;
}
