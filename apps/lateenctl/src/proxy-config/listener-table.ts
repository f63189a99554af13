// Proxy configuration: listeners, a row for each filter chain.

import { formatTable } from '../output/table.js';
import { addressText, child, children, type Json, text } from './config-dump.js';

/** As `istioctl proxy-config listeners` shows them; where one is not in effect, a column says why. */
export function listenerTable(listeners: readonly Json[]): string {
  const rows = listeners.flatMap((listener) => {
    const { address, port } = addressText(child(listener, 'address'));
    const chains = [...children(listener, 'filter_chains')];
    const fallback = child(listener, 'default_filter_chain');
    if (Object.keys(fallback).length > 0) chains.push(fallback);
    const state = stateText(listener);
    // One that was refused before it was read has nothing but its name.
    if (chains.length === 0) return [[address || '-', port || '-', '-', text(listener, 'name') || '-', state]];
    return chains.map((chain) => [
      address,
      port,
      matchText(child(chain, 'filter_chain_match')),
      destinationText(chain),
      state,
    ]);
  });
  rows.sort((a, b) => (Number(a[1]) || 0) - (Number(b[1]) || 0) || (a.join() < b.join() ? -1 : 1));
  const heading = ['ADDRESS', 'PORT', 'MATCH', 'DESTINATION', 'STATE'];
  const allActive = rows.every((row) => row[4] === ACTIVE);
  return formatTable(allActive ? heading.slice(0, 4) : heading, allActive ? rows.map((row) => row.slice(0, 4)) : rows);
}

const ACTIVE = 'active';

function stateText(listener: Json): string {
  const state = text(listener, 'state') || ACTIVE;
  const details = text(child(listener, 'error_state'), 'details');
  return details === '' ? state : `${state}: ${details.replaceAll('\n', '; ')}`;
}

function matchText(match: Json): string {
  const parts: string[] = [];
  const transport = text(match, 'transport_protocol');
  if (transport !== '') parts.push(`Trans: ${transport}`);
  const list = (key: string) => (Array.isArray(match[key]) ? (match[key] as unknown[]).map(String).join(',') : '');
  if (list('application_protocols') !== '') parts.push(`App: ${list('application_protocols')}`);
  if (list('server_names') !== '') parts.push(`SNI: ${list('server_names')}`);
  if (match.destination_port !== undefined) parts.push(`Port: ${text(match, 'destination_port')}`);
  for (const range of children(match, 'prefix_ranges')) parts.push(`Addr: ${text(range, 'address_prefix')}`);
  return parts.join('; ') || 'ALL';
}

function destinationText(chain: Json): string {
  const tls = Object.keys(child(chain, 'transport_socket')).length > 0 ? ' (TLS)' : '';
  for (const filter of children(chain, 'filters')) {
    const config = child(filter, 'typed_config');
    const rds = text(child(config, 'rds'), 'route_config_name');
    if (rds !== '') return `Route: ${rds}${tls}`;
    const inline = child(config, 'route_config');
    if (Object.keys(inline).length > 0) return `Inline Route: ${text(inline, 'name') || '(unnamed)'}${tls}`;
    if (typeof config.cluster === 'string') return `Cluster: ${config.cluster}${tls}`;
  }
  return `Non-HTTP/Non-TCP${tls}`;
}
