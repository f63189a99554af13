// Resolve: audits: what their records say of a request or a connection, and where they go.

import type { MeshConfig } from '@lateen/istio-config';
import type { Problem, StringMap } from '../../model.js';
import type { MeshService } from '../mesh-index.js';
import { whyUnanswered } from './limit-services.js';

/** A service that takes records: Envoy's access log service, or one of OpenTelemetry. */
export interface AuditCollector {
  readonly protocol: 'als' | 'otlp';
  /** Full host name, port. */
  readonly host: string;
  readonly port: number;
}

/** An audit: a Lateen sidecar chains its records. */
export interface AuditLog {
  /** What a record has, by name: one operator each, or plain text. */
  readonly members: StringMap;
  readonly to: { readonly path: string } | AuditCollector;
}

const AUDIT_FILE = 'audit.log';

/** What Envoy's RBAC filters note of a request; `istio_dry_run_` is what Pilot has those note that only try policies. */
const noted = (name: string) => `%DYNAMIC_METADATA(envoy.filters.http.rbac:${name})%`;

/** A claim of the token that was checked, as Pilot has its payload kept. */
const claimed = (name: string) => `%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:${name}):256%`;

/** What an audit says of a request, or of a connection: who, what, how it went, and the ids of its trace. */
const AUDIT_FORMAT: StringMap = {
  time: '%START_TIME%',
  principal: '%DOWNSTREAM_PEER_URI_SAN%',
  source: '%DOWNSTREAM_REMOTE_ADDRESS%',
  destination: '%DOWNSTREAM_LOCAL_ADDRESS%',
  server_name: '%REQUESTED_SERVER_NAME%',
  method: '%REQ(:METHOD):64%',
  host: '%REQ(:AUTHORITY):256%',
  path: '%REQ(:PATH):1024%',
  original_path: '%REQ(X-ENVOY-ORIGINAL-PATH):1024%',
  protocol: '%PROTOCOL%',
  issuer: claimed('iss'),
  subject: claimed('sub'),
  policy: noted('enforced_effective_policy_id'),
  dry_run_deny: noted('istio_dry_run_deny_shadow_engine_result'),
  dry_run_deny_policy: noted('istio_dry_run_deny_shadow_effective_policy_id'),
  dry_run_allow: noted('istio_dry_run_allow_shadow_engine_result'),
  dry_run_allow_policy: noted('istio_dry_run_allow_shadow_effective_policy_id'),
  status: '%RESPONSE_CODE%',
  grpc_status: '%GRPC_STATUS_NUMBER%',
  flags: '%RESPONSE_FLAGS%',
  details: '%RESPONSE_CODE_DETAILS%',
  termination: '%CONNECTION_TERMINATION_DETAILS%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration_ms: '%DURATION%',
  request_id: '%REQ(X-REQUEST-ID):64%',
  traceparent: '%REQ(TRACEPARENT):64%',
  b3: '%REQ(X-B3-TRACEID?B3):64%',
  upstream: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
  route: '%ROUTE_NAME%',
};

type AuditProvider = NonNullable<NonNullable<MeshConfig['extensionProviders']>[number]['lateenAudit']>;

/** What a provider of MeshConfig asks for. */
export function resolveAuditLog({ path, als, otlp }: AuditProvider, direction: 'inbound' | 'outbound'): AuditLog {
  const members = { direction, ...AUDIT_FORMAT };
  if (als !== undefined) return { members, to: { protocol: 'als', host: als.service, port: als.port } };
  if (otlp !== undefined) return { members, to: { protocol: 'otlp', host: otlp.service, port: otlp.port } };
  return { members, to: { path: path || AUDIT_FILE } };
}

/** The collectors of all audits of a proxy, each once. */
export function auditCollectors(logs: Readonly<Record<string, readonly (AuditLog | object)[]>>): AuditCollector[] {
  const found = new Map<string, AuditCollector>();
  for (const log of Object.values(logs).flat()) {
    if ('to' in log && 'host' in log.to) found.set(`${log.to.protocol}/${log.to.host}/${log.to.port}`, log.to);
  }
  return [...found.values()];
}

/** Collectors that cannot be called: what is for them waits, and then is dropped and counted. */
export function collectorProblems(
  collectors: readonly AuditCollector[],
  destinationByHost: ReadonlyMap<string, MeshService>,
): Problem[] {
  return collectors.flatMap((collector): Problem[] => {
    const why = whyUnanswered(collector, destinationByHost);
    if (why === undefined) return [];
    const message = `the audit's ${collector.protocol} collector gets no records: ${why}`;
    return [{ code: 'missing-audit-collector', severity: 'warning', subject: 'MeshConfig', message }];
  });
}
