// Build: RequestAuthentication as Envoy's jwt_authn filter, in Istio's form.

import { create } from '@bufbuild/protobuf';
import { EmptySchema } from '@bufbuild/protobuf/wkt';
import { packAny } from '@lateen/xds-proto';
import { DataSourceSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { RouteMatchSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import {
  JwtAuthenticationSchema,
  type JwtProvider,
  JwtProviderSchema,
  type JwtRequirement,
  JwtRequirementSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { EffectiveTokenRule } from '../../resolve/tokens/request-authentication.js';
import { JWT_FILTER, JWT_PAYLOAD } from '../names.js';

/** Claims that hold several values with spaces between, in every token. */
const SPACE_DELIMITED = ['permission', 'scope'];

/** @param reroutes routes depend on claims: the route is chosen once more when they are known */
export function buildTokenFilter(rules: readonly EffectiveTokenRule[], reroutes: boolean): HttpFilter {
  const providers = Object.fromEntries(rules.map((rule, index) => [providerName(index), provider(rule, reroutes)]));
  const config = create(JwtAuthenticationSchema, {
    providers,
    rules: [
      {
        match: create(RouteMatchSchema, { pathSpecifier: { case: 'prefix', value: '/' } }),
        requirementType: { case: 'requires', value: requirementOf(rules.length) },
      },
    ],
    bypassCorsPreflight: true,
  });
  return create(HttpFilterSchema, {
    name: JWT_FILTER,
    configType: { case: 'typedConfig', value: packAny(JwtAuthenticationSchema, config) },
  });
}

function providerName(index: number): string {
  return `origins-${index}`;
}

function provider({ rule, keys }: EffectiveTokenRule, reroutes: boolean): JwtProvider {
  return create(JwtProviderSchema, {
    issuer: rule.issuer ?? '',
    audiences: [...(rule.audiences ?? [])],
    jwksSourceSpecifier: {
      case: 'localJwks',
      value: create(DataSourceSchema, { specifier: { case: 'inlineString', value: keys } }),
    },
    forward: rule.forwardOriginalToken ?? false,
    fromHeaders: (rule.fromHeaders ?? []).map(({ name, prefix = '' }) => ({ name, valuePrefix: prefix })),
    fromParams: [...(rule.fromParams ?? [])],
    fromCookies: [...(rule.fromCookies ?? [])],
    forwardPayloadHeader: rule.outputPayloadToHeader ?? '',
    claimToHeaders: (rule.outputClaimToHeaders ?? []).map(({ header, claim }) => ({
      headerName: header,
      claimName: claim,
    })),
    payloadInMetadata: JWT_PAYLOAD,
    normalizePayloadInMetadata: {
      spaceDelimitedClaims: [...new Set([...(rule.spaceDelimitedClaims ?? []), ...SPACE_DELIMITED])].sort(),
    },
    clearRouteCache: reroutes,
  });
}

/**
 * No token is well, a bad one is not. With several issuers any good token is enough; without one, none of those that are there may
 * be bad. The issuers stand alone first, since they may look at the same place, where another's token is none of theirs.
 */
function requirementOf(count: number): JwtRequirement {
  const names = Array.from({ length: count }, (_, index) => providerName(index));
  const alone = names.map((name) =>
    create(JwtRequirementSchema, { requiresType: { case: 'providerName', value: name } }),
  );
  const missing = create(JwtRequirementSchema, {
    requiresType: { case: 'allowMissing', value: create(EmptySchema) },
  });
  const optional = alone.map((one) => anyOf([one, missing]));
  if (optional.length === 1 && optional[0] !== undefined) return optional[0];
  const all = create(JwtRequirementSchema, {
    requiresType: { case: 'requiresAll', value: { requirements: optional } },
  });
  return anyOf([...alone, all]);
}

function anyOf(requirements: JwtRequirement[]): JwtRequirement {
  return create(JwtRequirementSchema, { requiresType: { case: 'requiresAny', value: { requirements } } });
}
