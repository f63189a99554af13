// Describe: the rules of a VirtualService in a line each.

import type { HttpMatchRequest, HttpRoute, RouteDestination, StringMatch, TcpRoute } from '@lateen/istio-config';
import type { RouteDescription } from '@lateen/telemetry';

export function describeRoutes(rules: readonly HttpRoute[]): RouteDescription[] {
  return rules.map((rule) => ({
    match: (rule.match ?? []).map(matchText).join(' or ') || 'everything',
    to: targetText(rule),
  }));
}

export function describeTcpRoutes(rules: readonly TcpRoute[]): RouteDescription[] {
  return rules.map(({ match, route }) => {
    const ports = (match ?? []).map(({ port }) => (port === undefined ? 'any port' : `port ${port}`));
    return { match: `connections to ${ports.join(' or ') || 'any port'}`, to: destinationsText(route ?? []) };
  });
}

function matchText(match: HttpMatchRequest): string {
  const parts: string[] = [];
  for (const name of ['uri', 'scheme', 'method', 'authority'] as const) {
    const condition = match[name];
    if (condition !== undefined) parts.push(`${name} ${stringText(condition)}`);
  }
  for (const [name, condition] of Object.entries(match.headers ?? {})) parts.push(`${name} ${stringText(condition)}`);
  for (const [name, condition] of Object.entries(match.withoutHeaders ?? {})) {
    parts.push(`not ${name} ${stringText(condition)}`);
  }
  for (const [name, condition] of Object.entries(match.queryParams ?? {}))
    parts.push(`?${name} ${stringText(condition)}`);
  if (match.port !== undefined) parts.push(`port ${match.port}`);
  return parts.join(', ') || 'everything';
}

function stringText(condition: StringMatch): string {
  const [[operator, value] = ['is there', '']] = Object.entries(condition);
  return operator === 'exact' ? `= ${value}` : `${operator} ${value}`.trim();
}

function targetText({ route, redirect, directResponse }: HttpRoute): string {
  if (redirect !== undefined) return 'redirect';
  if (directResponse !== undefined) return `status ${directResponse.status}`;
  return destinationsText(route ?? []);
}

function destinationsText(destinations: readonly RouteDestination[]): string {
  return destinations
    .map(({ destination, weight }) => {
      const subset = destination.subset ? ` subset ${destination.subset}` : '';
      const port = destination.port?.number ? `:${destination.port.number}` : '';
      const share = destinations.length > 1 ? ` ${weight ?? 0}%` : '';
      return `${destination.host}${port}${subset}${share}`;
    })
    .join(', ');
}
