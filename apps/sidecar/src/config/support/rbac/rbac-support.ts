// Support table: the filters that decide who may (RBAC), and their rules.

import type { SupportTable } from '../support-types.js';

const HTTP = 'envoy.extensions.filters.http.rbac.v3';
const NETWORK = 'envoy.extensions.filters.network.rbac.v3';
const RULES = 'envoy.config.rbac.v3';
export const HTTP_RBAC = `${HTTP}.RBAC`;
export const NETWORK_RBAC = `${NETWORK}.RBAC`;

/** Path templates of permissions. */
export const URI_TEMPLATE = 'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig';

const USE_RULES = 'use rules with policies';
const MATCHER_TREE = { matcher: USE_RULES, shadow_matcher: 'use shadow_rules with policies' };

export const RBAC_SUPPORT: SupportTable = {
  [HTTP_RBAC]: {
    acted: ['rules', 'rules_stat_prefix', 'shadow_rules', 'shadow_rules_stat_prefix'],
    notes: { rules: 'the filter stands behind that for tokens and before those for limits and faults' },
    only: { track_per_rule_stats: ['false'] },
    refused: MATCHER_TREE,
  },
  [NETWORK_RBAC]: {
    acted: ['rules', 'shadow_rules', 'shadow_rules_stat_prefix', 'stat_prefix', 'enforcement_type'],
    notes: {
      rules: 'before a TCP proxy; decided before anybody is connected to',
      enforcement_type: 'what rules ask about a connection does not change, so it is decided once',
    },
    refused: MATCHER_TREE,
  },
  [`${RULES}.RBAC`]: {
    acted: ['action', 'policies'],
    refused: { audit_logging_options: 'use access logs, which show response code details' },
  },
  [`${RULES}.Policy`]: {
    acted: ['permissions', 'principals'],
    refused: { condition: 'use permissions and principals', checked_condition: 'use permissions and principals' },
  },
  [`${RULES}.Permission`]: {
    acted: [
      'and_rules',
      'or_rules',
      'not_rule',
      'any',
      'header',
      'url_path',
      'uri_template',
      'metadata',
      'destination_ip',
      'destination_port',
      'destination_port_range',
      'requested_server_name',
    ],
    notes: { header: 'each value of a repeated header is matched by itself, as in Envoy' },
    refused: { matcher: 'use the other permissions' },
  },
  [`${RULES}.Permission.Set`]: { acted: ['rules'] },
  [`${RULES}.Principal`]: {
    acted: [
      'and_ids',
      'or_ids',
      'not_id',
      'any',
      'authenticated',
      'source_ip',
      'direct_remote_ip',
      'remote_ip',
      'header',
      'url_path',
      'metadata',
      'filter_state',
    ],
    notes: { filter_state: 'io.istio.peer_principal: the URI of the client certificate' },
  },
  [`${RULES}.Principal.Set`]: { acted: ['ids'] },
  [`${RULES}.Principal.Authenticated`]: { acted: ['principal_name'] },
  'envoy.type.v3.Int32Range': { acted: ['start', 'end'] },
  'envoy.type.matcher.v3.FilterStateMatcher': { acted: ['key', 'string_match'] },
  'envoy.type.matcher.v3.PathMatcher': { acted: ['path'] },
  [URI_TEMPLATE]: { acted: ['path_template'] },
};
