// Authorization, interpreter: what the reference for Envoy's RBAC messages makes of a call.

import { matchingPolicy, type RuledRequest } from '@lateen/filters-wasm/testing/rbac';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { Filter } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { type RBAC, RBAC_Action } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import { RBACSchema as HttpRbacSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import type { HttpFilter } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { RBACSchema as TcpRbacSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import type { CallFacts, Verdict } from './reference.js';

/** The rules that the filters of a chain enforce, in order. */
export function enforcedRules(filters: readonly (HttpFilter | Filter)[]): RBAC[] {
  return filters.flatMap(({ configType }) => {
    if (configType.case !== 'typedConfig') return [];
    const schema = [HttpRbacSchema, TcpRbacSchema].find((each) => anyIs(configType.value, each));
    const rules = schema && unpackAny(configType.value, schema).rules;
    return rules === undefined || rules.action === RBAC_Action.LOG ? [] : [rules];
  });
}

/** What they make of a call, one after another. */
export function interpret(enforced: readonly RBAC[], call: CallFacts): Verdict {
  const request = ruled(call);
  let rule: string | undefined;
  for (const rules of enforced) {
    rule = matchingPolicy(rules, request);
    const allows = rules.action === RBAC_Action.ALLOW;
    if (allows === (rule === undefined)) return { allowed: false, rule };
  }
  return { allowed: true, rule };
}

/** A connection without a request is asked about nothing that only requests have. */
function ruled(call: CallFacts): RuledRequest {
  const { request, principal } = call;
  const uri = principal === undefined ? '' : `spiffe://${principal}`;
  return {
    method: request?.method ?? '',
    path: request?.path ?? '',
    authority: request?.host ?? '',
    headers: Object.entries(request?.headers ?? {}).flatMap(([name, values]) =>
      values.map((value) => [name, value] as const),
    ),
    tls: principal !== undefined,
    names: uri === '' ? [] : [uri],
    principal: uri,
    serverName: call.serverName,
    directAddress: call.sourceIp,
    remoteAddress: call.remoteIp,
    localAddress: call.destinationIp,
    localPort: call.destinationPort,
    claims: request?.claims === undefined ? {} : { payload: request.claims as RuledRequest['claims'] },
  };
}
