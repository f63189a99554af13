// Build: what a rule has the filters of a listener do (typed_per_filter_config): faults, and answers to other origins.

import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { GRPC_STATUSES, type HttpRoute } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import {
  type FaultDelay,
  FaultDelaySchema,
} from '@lateen/xds-proto/envoy/extensions/filters/common/fault/v3/fault_pb.js';
import { type CorsPolicy, CorsPolicySchema } from '@lateen/xds-proto/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import {
  type FaultAbort,
  FaultAbortSchema,
  type HTTPFault,
  HTTPFaultSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { durationOfText } from '../durations.js';
import { CORS_FILTER, FAULT_FILTER } from '../names.js';
import { stringMatcher } from './route-match.js';
import { share } from './share.js';

type Fault = NonNullable<HttpRoute['fault']>;
type Cors = NonNullable<HttpRoute['corsPolicy']>;

function faultDelay({ fixedDelay, percentage, percent }: NonNullable<Fault['delay']>): FaultDelay | undefined {
  const duration = durationOfText(fixedDelay);
  // A delay without a length delays nothing, of which validation has warned; Envoy would refuse the message.
  if (duration === undefined) return undefined;
  return create(FaultDelaySchema, {
    faultDelaySecifier: { case: 'fixedDelay', value: duration },
    percentage: share(percentage === undefined ? percent : percentage.value),
  });
}

function faultAbort({ httpStatus, grpcStatus, percentage }: NonNullable<Fault['abort']>): FaultAbort | undefined {
  if (httpStatus === undefined && grpcStatus === undefined) return undefined;
  return create(FaultAbortSchema, {
    errorType:
      httpStatus === undefined
        ? { case: 'grpcStatus', value: GRPC_STATUSES.indexOf(grpcStatus ?? '') }
        : { case: 'httpStatus', value: httpStatus },
    percentage: share(percentage?.value),
  });
}

function buildFault({ delay, abort }: Fault): HTTPFault {
  return create(HTTPFaultSchema, {
    delay: delay === undefined ? undefined : faultDelay(delay),
    abort: abort === undefined ? undefined : faultAbort(abort),
  });
}

function buildCors(cors: Cors): CorsPolicy {
  const maxAge = durationOfText(cors.maxAge);
  const origins = cors.allowOrigins ?? (cors.allowOrigin ?? []).map((exact) => ({ exact }));
  return create(CorsPolicySchema, {
    allowOriginStringMatch: origins.map(stringMatcher),
    allowMethods: (cors.allowMethods ?? []).join(','),
    allowHeaders: (cors.allowHeaders ?? []).join(','),
    exposeHeaders: (cors.exposeHeaders ?? []).join(','),
    maxAge: maxAge === undefined ? '' : String(maxAge.seconds),
    allowCredentials: cors.allowCredentials,
    filterEnabled: { defaultValue: { numerator: 100 } },
    // Istio's default.
    forwardNotMatchingPreflights: cors.unmatchedPreflights !== 'IGNORE',
  });
}

/** By the name of the filter that it is for. */
export function buildRouteFilters(rule: HttpRoute): Record<string, Any> {
  const filters: Record<string, Any> = {};
  if (rule.fault !== undefined) filters[FAULT_FILTER] = packAny(HTTPFaultSchema, buildFault(rule.fault));
  if (rule.corsPolicy !== undefined) filters[CORS_FILTER] = packAny(CorsPolicySchema, buildCors(rule.corsPolicy));
  return filters;
}
