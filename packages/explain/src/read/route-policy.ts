// Read: retries, faults and mirrors of a route's messages.

import type { Duration } from '@bufbuild/protobuf/wkt';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { RuntimeFractionalPercent } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { Route, RouteAction, VirtualHost } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { HTTPFaultSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import {
  type FractionalPercent,
  FractionalPercent_DenominatorType,
} from '@lateen/xds-proto/envoy/type/v3/percent_pb.js';
import type { ExplainedFault, ExplainedMirror, ExplainedRetries } from '../explanation.js';

/** Whole milliseconds; undefined stays undefined. */
export function durationMs(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : Number(duration.seconds) * 1000 + Math.round(duration.nanos / 1e6);
}

const PARTS: Readonly<Record<number, number>> = {
  [FractionalPercent_DenominatorType.HUNDRED]: 100,
  [FractionalPercent_DenominatorType.TEN_THOUSAND]: 10_000,
  [FractionalPercent_DenominatorType.MILLION]: 1_000_000,
};

/** Of a hundred; all where nothing is said. */
export function percentage(fraction: FractionalPercent | undefined, otherwise = 100): number {
  return fraction === undefined ? otherwise : (fraction.numerator * 100) / (PARTS[fraction.denominator] ?? 100);
}

function runtimePercentage(fraction: RuntimeFractionalPercent | undefined): number {
  return percentage(fraction?.defaultValue);
}

export function readRetries(action: RouteAction, virtualHost: VirtualHost): ExplainedRetries | null {
  const policy = action.retryPolicy ?? virtualHost.retryPolicy;
  if (policy === undefined) return null;
  const conditions = policy.retryOn.split(',').map((condition) => condition.trim());
  return {
    attempts: policy.numRetries ?? 1,
    perTryTimeoutMs: durationMs(policy.perTryTimeout) ?? null,
    retryOn: conditions.filter((condition) => condition !== ''),
    retriableStatusCodes: [...policy.retriableStatusCodes],
    backoffMs: durationMs(policy.retryBackOff?.baseInterval) ?? null,
  };
}

/** The fault of the route, else of the virtual host. */
export function readFault(route: Route, virtualHost: VirtualHost): ExplainedFault | null {
  for (const configs of [route.typedPerFilterConfig, virtualHost.typedPerFilterConfig]) {
    const any = Object.values(configs).find((config) => anyIs(config, HTTPFaultSchema));
    if (any === undefined) continue;
    const { delay, abort } = unpackAny(any, HTTPFaultSchema);
    const fixed = delay?.faultDelaySecifier.case === 'fixedDelay' ? delay.faultDelaySecifier.value : undefined;
    const error = abort?.errorType;
    return {
      delay:
        delay === undefined
          ? null
          : { percentage: percentage(delay.percentage, 0), fixedDelayMs: durationMs(fixed) ?? 0 },
      abort:
        abort === undefined
          ? null
          : {
              percentage: percentage(abort.percentage, 0),
              httpStatus: error?.case === 'httpStatus' ? error.value : null,
              grpcStatus: error?.case === 'grpcStatus' ? error.value : null,
            },
    };
  }
  return null;
}

export function readMirrors(action: RouteAction): ExplainedMirror[] {
  return action.requestMirrorPolicies.map(({ cluster, runtimeFraction }) => ({
    cluster,
    percentage: runtimePercentage(runtimeFraction),
  }));
}

/** By what requests are hashed, where the load balancer hashes. */
export function readHashPolicies(action: RouteAction): string[] {
  return action.hashPolicy.map(({ policySpecifier: specifier }) => {
    switch (specifier.case) {
      case 'header':
        return `header ${specifier.value.headerName}`;
      case 'cookie':
        return `cookie ${specifier.value.name}`;
      case 'queryParameter':
        return `query parameter ${specifier.value.name}`;
      case 'connectionProperties':
        return 'source address';
      default:
        return specifier.case ?? '';
    }
  });
}
