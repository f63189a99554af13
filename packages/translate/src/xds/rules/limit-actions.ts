// Build: what a request is to a rate limit service, by the rules of RateLimits: the actions of virtual hosts.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { RateLimitDescriptor, StringMatch } from '@lateen/istio-config';
import {
  type HeaderMatcherSchema,
  type RateLimit,
  type RateLimit_ActionSchema,
  RateLimitSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { EffectiveRateLimit, ExternalRule } from '../../resolve/lateen/rate-limits.js';
import { hostsPattern, pathPattern, quoted } from '../listeners/quota-matchers.js';

type Action = MessageInitShape<typeof RateLimit_ActionSchema>;
type HeaderMatcher = MessageInitShape<typeof HeaderMatcherSchema>;

/** One for each rule, in the order of `externalLimits`. */
export function buildLimitActions({ limitServices, snapshot }: ClientScope): RateLimit[] {
  return limitServices.flatMap(({ stage, limits }) =>
    limits.map((limit) => create(RateLimitSchema, { stage, actions: actionsOf(limit, snapshot.clusterDomain) })),
  );
}

/** What the rule is called, where the request is one of its own, and then the values that it counts by. */
function actionsOf(limit: EffectiveRateLimit<ExternalRule>, clusterDomain: string): Action[] {
  const { rule } = limit;
  const headers = conditionsOf(limit, clusterDomain);
  const entries = Object.entries(rule.external.entries ?? { rule: rule.name });
  const constants = entries.map(([descriptorKey, descriptorValue], index): Action => {
    // The first says whether there is a descriptor at all.
    if (index > 0 || headers.length === 0) {
      return { actionSpecifier: { case: 'genericKey', value: { descriptorKey, descriptorValue } } };
    }
    return { actionSpecifier: { case: 'headerValueMatch', value: { descriptorKey, descriptorValue, headers } } };
  });
  return [...constants, ...(rule.by ?? []).map(actionOf)];
}

function actionOf({ header, method, host, key }: RateLimitDescriptor): Action {
  const ofHeader = (headerName: string, descriptorKey: string): Action => ({
    actionSpecifier: { case: 'requestHeaders', value: { headerName, descriptorKey } },
  });
  if (header !== undefined) return ofHeader(header.name, key ?? header.name);
  if (method !== undefined) return ofHeader(':method', key ?? 'method');
  if (host !== undefined) return ofHeader(':authority', key ?? 'host');
  return { actionSpecifier: { case: 'remoteAddress', value: {} } };
}

/** All of them have to hold. */
function conditionsOf({ hosts, namespace, rule }: EffectiveRateLimit<ExternalRule>, domain: string): HeaderMatcher[] {
  const { path, methods = [], headers = {} } = rule.match?.[0] ?? {};
  const found: HeaderMatcher[] = [];
  if (hosts.length > 0) found.push(matcher(':authority', { regex: hostsPattern(hosts, namespace, domain) }));
  if (path !== undefined) found.push(matcher(':path', { regex: pathPattern(path) }));
  if (methods.length > 0) found.push(matcher(':method', { regex: methods.map(quoted).join('|') }));
  for (const [name, match] of Object.entries(headers)) found.push(matcher(name, match));
  return found;
}

function matcher(name: string, { exact, prefix, regex }: StringMatch): HeaderMatcher {
  const by = (matchPattern: { case: 'exact' | 'prefix'; value: string }): HeaderMatcher => ({
    name,
    headerMatchSpecifier: { case: 'stringMatch', value: { matchPattern } },
  });
  if (exact !== undefined) return by({ case: 'exact', value: exact });
  if (prefix !== undefined) return by({ case: 'prefix', value: prefix });
  if (regex === undefined) return { name, headerMatchSpecifier: { case: 'presentMatch', value: true } };
  return {
    name,
    headerMatchSpecifier: {
      case: 'stringMatch',
      value: { matchPattern: { case: 'safeRegex', value: { regex } } },
    },
  };
}
