// Audit: Envoy's short response flags as the access log service has them.

import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type ResponseFlagsSchema,
  ResponseFlags_Unauthorized_Reason as UnauthorizedReason,
} from '@lateen/xds-proto/envoy/data/accesslog/v3/accesslog_pb.js';

type Flags = MessageInitShape<typeof ResponseFlagsSchema>;

const FLAGS: Readonly<Record<string, Flags>> = {
  LH: { failedLocalHealthcheck: true },
  UH: { noHealthyUpstream: true },
  UT: { upstreamRequestTimeout: true },
  LR: { localReset: true },
  UR: { upstreamRemoteReset: true },
  UF: { upstreamConnectionFailure: true },
  UC: { upstreamConnectionTermination: true },
  UO: { upstreamOverflow: true },
  NR: { noRouteFound: true },
  DI: { delayInjected: true },
  FI: { faultInjected: true },
  RL: { rateLimited: true },
  UAEX: { unauthorizedDetails: { reason: UnauthorizedReason.EXTERNAL_SERVICE } },
  RLSE: { rateLimitServiceError: true },
  DC: { downstreamConnectionTermination: true },
  URX: { upstreamRetryLimitExceeded: true },
  SI: { streamIdleTimeout: true },
  IH: { invalidEnvoyRequestHeaders: true },
  DPE: { downstreamProtocolError: true },
  UMSDR: { upstreamMaxStreamDurationReached: true },
  NFCF: { noFilterConfigFound: true },
  DT: { durationTimeout: true },
  UPE: { upstreamProtocolError: true },
  NC: { noClusterFound: true },
  OM: { overloadManager: true },
  DF: { dnsResolutionFailure: true },
  DR: { downstreamRemoteReset: true },
};

/** @param short joined by commas, or `-` */
export function responseFlags(short: string): Flags {
  return Object.assign({}, ...short.split(',').map((flag) => FLAGS[flag] ?? {})) as Flags;
}
