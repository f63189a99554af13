// Proxy configuration: routes, a row each.

import { formatTable } from '../output/table.js';
import { child, children, type Json, sourceConfig, text } from './config-dump.js';

/** As `istioctl proxy-config routes` shows them, with where each route leads. */
export function routeTable(configurations: readonly Json[]): string {
  const rows = configurations.flatMap((configuration) =>
    children(configuration, 'virtual_hosts').flatMap((virtualHost) => {
      const routes = children(virtualHost, 'routes');
      const shared = [text(configuration, 'name'), text(virtualHost, 'name'), domainsText(virtualHost)];
      if (routes.length === 0) return [[...shared, '-', '-', '']];
      return routes.map((route) => [
        ...shared,
        matchText(child(route, 'match')),
        targetText(route),
        sourceConfig(route),
      ]);
    }),
  );
  return formatTable(['NAME', 'VHOST NAME', 'DOMAINS', 'MATCH', 'TARGET', 'VIRTUAL SERVICE'], rows);
}

function domainsText(virtualHost: Json): string {
  const domains = Array.isArray(virtualHost.domains) ? virtualHost.domains.map(String) : [];
  const [first = '', ...others] = domains;
  return others.length === 0 ? first : `${first} + ${others.length} more`;
}

function matchText(match: Json): string {
  const parts: string[] = [];
  if (typeof match.prefix === 'string') parts.push(`${match.prefix}*`);
  if (typeof match.path === 'string') parts.push(match.path);
  if (typeof match.path_separated_prefix === 'string') parts.push(`${match.path_separated_prefix}/*`);
  const pattern = text(child(match, 'safe_regex'), 'regex');
  if (pattern !== '') parts.push(`~${pattern}`);
  for (const header of children(match, 'headers')) parts.push(headerText(header));
  for (const parameter of children(match, 'query_parameters')) parts.push(`?${text(parameter, 'name')}`);
  return parts.join(' ') || '/*';
}

function headerText(header: Json): string {
  const name = text(header, 'name');
  const match = child(header, 'string_match');
  for (const [key, operator] of Object.entries({ exact: '=', prefix: '=^', suffix: '=$', contains: '=~' })) {
    if (typeof match[key] === 'string') return `${name}${operator}${match[key]}`;
  }
  if (typeof header.exact_match === 'string') return `${name}=${header.exact_match}`;
  const pattern = text(child(match, 'safe_regex'), 'regex');
  return pattern === '' ? name : `${name}=~${pattern}`;
}

function targetText(route: Json): string {
  const action = child(route, 'route');
  const weighted = children(child(action, 'weighted_clusters'), 'clusters');
  if (weighted.length > 0) {
    return weighted.map((each) => `${text(each, 'name')} ${text(each, 'weight') || '0'}%`).join(', ');
  }
  if (typeof action.cluster === 'string') return action.cluster;
  if (route.redirect !== undefined) return 'redirect';
  if (route.direct_response !== undefined) return `status ${text(child(route, 'direct_response'), 'status')}`;
  return '-';
}
