// Build: policies with action CUSTOM as Envoy's filters, in Istio's form: access rules that only mark what they are for, and behind
// them the filter that asks about what is marked.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type HttpAuthorizer, parseDurationMs } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import { ApiVersion } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import { type Filter, FilterSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { RBAC_Action, RBACSchema as RulesSchema } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import {
  ExtAuthzSchema as HttpExtAuthzSchema,
  type HttpService,
  HttpServiceSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js';
import { RBACSchema as HttpRbacSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { ExtAuthzSchema as TcpExtAuthzSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.js';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { RBACSchema as TcpRbacSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import type { MetadataMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/metadata_pb.js';
import type { ListStringMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import type { EffectiveAuthorizer } from '../../resolve/authorization/authorizers.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { outboundClusters } from '../clusters/outbound-clusters.js';
import { durationOfMs } from '../durations.js';
import { BLACK_HOLE_CLUSTER, outboundClusterName } from '../names.js';
import { HTTP_RULES, NETWORK_RULES, namedPolicies } from './authorization-filters.js';

const HTTP_FILTER = 'envoy.filters.http.ext_authz';
const NETWORK_FILTER = 'envoy.filters.network.ext_authz';
/** Istio's names: of what is marked, and before the names of rules. */
const SHADOW_PREFIX = 'istio_ext_authz_';
const RULE_PREFIX = 'istio-ext-authz';
const DENIED = '-deny-due-to-bad-CUSTOM-action';
const DEFAULT_TIMEOUT_MS = 600_000;

type Scope = ClientScope;

/** `istio-ext-authz-PROVIDER-`: before the name of each rule. */
function rulePrefix(provider: string): string {
  return provider === '' ? `${RULE_PREFIX}-` : `${RULE_PREFIX}-${provider}-`;
}

/** The filters of a connection manager; none where no policy asks. */
export function buildExternalAuthorization(scope: Scope): HttpFilter[] {
  const { authorizer } = scope;
  const policies = scope.authorization.CUSTOM;
  if (policies.length === 0) return [];
  const rules = customRules(scope, false);
  const rbac = authorizer === undefined ? { rules } : { shadowRules: rules, shadowRulesStatPrefix: SHADOW_PREFIX };
  const marking = create(HttpFilterSchema, {
    name: HTTP_RULES,
    configType: { case: 'typedConfig', value: packAny(HttpRbacSchema, create(HttpRbacSchema, rbac)) },
  });
  if (authorizer === undefined) return [marking];
  const asking = create(HttpFilterSchema, {
    name: HTTP_FILTER,
    configType: { case: 'typedConfig', value: packAny(HttpExtAuthzSchema, httpFilter(scope, authorizer)) },
  });
  return [marking, asking];
}

/** The filters of connections whose bytes are passed on as they are. As in Istio, who is asked over HTTP is not asked about these. */
export function buildTcpExternalAuthorization(scope: Scope): Filter[] {
  const { authorizer } = scope;
  if (scope.authorization.CUSTOM.length === 0 || authorizer?.kind === 'http') return [];
  const rules = customRules(scope, true);
  const rbac = authorizer === undefined ? { rules } : { shadowRules: rules, shadowRulesStatPrefix: SHADOW_PREFIX };
  const marking = create(FilterSchema, {
    name: NETWORK_RULES,
    configType: {
      case: 'typedConfig',
      value: packAny(TcpRbacSchema, create(TcpRbacSchema, { ...rbac, statPrefix: 'tcp.' })),
    },
  });
  if (authorizer === undefined) return [marking];
  const config = create(TcpExtAuthzSchema, {
    statPrefix: 'tcp.',
    failureModeAllow: authorizer.settings.failOpen ?? false,
    transportApiVersion: ApiVersion.V3,
    grpcService: grpcService(scope, authorizer),
    filterEnabledMetadata: enabledBy(NETWORK_RULES, authorizer.name),
  });
  return [
    marking,
    create(FilterSchema, {
      name: NETWORK_FILTER,
      configType: { case: 'typedConfig', value: packAny(TcpExtAuthzSchema, config) },
    }),
  ];
}

/** What each rule is called that marks, or denies where nobody can be asked. */
function customRules(scope: Scope, forTcp: boolean) {
  const { authorizer } = scope;
  const policies = namedPolicies(scope.authorization.CUSTOM, 'DENY', scope, forTcp, (name, { policy }) => {
    const marked = `${rulePrefix(policy.spec.provider?.name ?? '')}${name}`;
    return authorizer === undefined ? `${marked}${DENIED}` : marked;
  });
  return create(RulesSchema, { action: RBAC_Action.DENY, policies });
}

function enabledBy(filter: string, provider: string): MessageInitShape<typeof MetadataMatcherSchema> {
  const prefix = provider === '' ? RULE_PREFIX : `${RULE_PREFIX}-${provider}`;
  return {
    filter,
    path: [{ segment: { case: 'key', value: `${SHADOW_PREFIX}shadow_effective_policy_id` } }],
    value: {
      matchPattern: { case: 'stringMatch', value: { matchPattern: { case: 'prefix', value: prefix } } },
    },
  };
}

/** The cluster of an authorizer. One that does not exist is never asked: it is as if it did not answer. */
export function authorizerCluster(scope: Scope, { host, port }: EffectiveAuthorizer): string {
  const name = outboundClusterName(port, '', host);
  return outboundClusters(scope).byName.has(name) ? name : BLACK_HOLE_CLUSTER;
}

function timeoutOf({ settings: { timeout } }: EffectiveAuthorizer) {
  return durationOfMs(timeout === undefined ? DEFAULT_TIMEOUT_MS : (parseDurationMs(timeout) ?? DEFAULT_TIMEOUT_MS));
}

function grpcService(scope: Scope, authorizer: EffectiveAuthorizer) {
  return {
    // The cluster's name is no authority that servers of HTTP/2 take.
    targetSpecifier: {
      case: 'envoyGrpc' as const,
      value: { clusterName: authorizerCluster(scope, authorizer), authority: authorizer.host },
    },
    timeout: timeoutOf(authorizer),
  };
}

function httpFilter(scope: Scope, authorizer: EffectiveAuthorizer) {
  const { settings } = authorizer;
  const body = settings.includeRequestBodyInCheck;
  return create(HttpExtAuthzSchema, {
    services:
      authorizer.kind === 'http'
        ? { case: 'httpService', value: httpService(scope, authorizer, authorizer.settings) }
        : { case: 'grpcService', value: grpcService(scope, authorizer) },
    ...(settings.statusOnError !== undefined &&
      settings.statusOnError !== '' && { statusOnError: { code: Number(settings.statusOnError) } }),
    failureModeAllow: settings.failOpen ?? false,
    clearRouteCache: settings.clearRouteCache ?? false,
    transportApiVersion: ApiVersion.V3,
    filterEnabledMetadata: enabledBy(HTTP_RULES, authorizer.name),
    ...(body && {
      withRequestBody: {
        maxRequestBytes: body.maxRequestBytes ?? 0,
        allowPartialMessage: body.allowPartialMessage ?? false,
        packAsBytes: body.packAsBytes ?? false,
      },
    }),
  });
}

function httpService(scope: Scope, authorizer: EffectiveAuthorizer, settings: HttpAuthorizer): HttpService {
  const { includeRequestHeadersInCheck: current = [], includeHeadersInCheck: deprecated = [] } = settings;
  const told = current.length > 0 ? current : deprecated;
  const added = Object.entries(settings.includeAdditionalHeadersInCheck ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const { headersToUpstreamOnAllow: up = [], headersToDownstreamOnDeny: down = [] } = settings;
  const { headersToDownstreamOnAllow: onAllow = [] } = settings;
  return create(HttpServiceSchema, {
    pathPrefix: settings.pathPrefix ?? '',
    serverUri: {
      uri: `http://${authorizer.host}`,
      httpUpstreamType: { case: 'cluster', value: authorizerCluster(scope, authorizer) },
      timeout: timeoutOf(authorizer),
    },
    ...((told.length > 0 || added.length > 0) && {
      authorizationRequest: {
        ...listed('allowedHeaders', told),
        headersToAdd: added.map(([key, value]) => ({ key, value })),
      },
    }),
    ...((up.length > 0 || down.length > 0 || onAllow.length > 0) && {
      authorizationResponse: {
        ...listed('allowedUpstreamHeaders', up),
        ...listed('allowedClientHeaders', down),
        ...listed('allowedClientHeadersOnSuccess', onAllow),
      },
    }),
  });
}

/** Names of headers, whatever their case; a `*` at one end stands for anything. */
function listed<Field extends string>(
  field: Field,
  names: readonly string[],
): Partial<Record<Field, MessageInitShape<typeof ListStringMatcherSchema>>> {
  if (names.length === 0) return {};
  const patterns = names.map((name) => ({
    matchPattern: name.startsWith('*')
      ? { case: 'suffix' as const, value: name.slice(1) }
      : name.endsWith('*')
        ? { case: 'prefix' as const, value: name.slice(0, -1) }
        : { case: 'exact' as const, value: name },
    ignoreCase: true,
  }));
  return { [field]: { patterns } } as Partial<Record<Field, MessageInitShape<typeof ListStringMatcherSchema>>>;
}
