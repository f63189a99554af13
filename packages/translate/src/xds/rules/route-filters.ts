// Build: what a rule has the filters of a listener do (typed_per_filter_config): faults.

import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { HttpRoute } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import {
  type FaultDelay,
  FaultDelaySchema,
} from '@lateen/xds-proto/envoy/extensions/filters/common/fault/v3/fault_pb.js';
import {
  type FaultAbort,
  FaultAbortSchema,
  type HTTPFault,
  HTTPFaultSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import {
  type FractionalPercent,
  FractionalPercent_DenominatorType,
  FractionalPercentSchema,
} from '@lateen/xds-proto/envoy/type/v3/percent_pb.js';
import { durationOfText } from '../durations.js';
import { FAULT_FILTER } from '../names.js';

type Fault = NonNullable<HttpRoute['fault']>;

/** A percentage, as Istio writes it: so many of a million. Nothing where the share is not said. */
function share(percent: number | undefined): FractionalPercent {
  return create(FractionalPercentSchema, {
    numerator: Math.round((percent ?? 0) * 10_000),
    denominator: FractionalPercent_DenominatorType.MILLION,
  });
}

function faultDelay({ fixedDelay, percentage, percent }: NonNullable<Fault['delay']>): FaultDelay | undefined {
  const duration = durationOfText(fixedDelay);
  // A delay without a length delays nothing, of which validation has warned; Envoy would refuse the message.
  if (duration === undefined) return undefined;
  return create(FaultDelaySchema, {
    faultDelaySecifier: { case: 'fixedDelay', value: duration },
    percentage: share(percentage === undefined ? percent : percentage.value),
  });
}

function faultAbort({ httpStatus, percentage }: NonNullable<Fault['abort']>): FaultAbort | undefined {
  if (httpStatus === undefined) return undefined;
  return create(FaultAbortSchema, {
    errorType: { case: 'httpStatus', value: httpStatus },
    percentage: share(percentage?.value),
  });
}

function buildFault({ delay, abort }: Fault): HTTPFault {
  return create(HTTPFaultSchema, {
    delay: delay === undefined ? undefined : faultDelay(delay),
    abort: abort === undefined ? undefined : faultAbort(abort),
  });
}

/** By the name of the filter that it is for. */
export function buildRouteFilters(rule: HttpRoute): Record<string, Any> {
  const filters: Record<string, Any> = {};
  if (rule.fault !== undefined) filters[FAULT_FILTER] = packAny(HTTPFaultSchema, buildFault(rule.fault));
  return filters;
}
