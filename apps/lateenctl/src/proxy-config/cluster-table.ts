// Proxy configuration: clusters, a row each.

import { formatTable } from '../output/table.js';
import { type Json, sourceConfig, text } from './config-dump.js';

/** As `istioctl proxy-config clusters` shows them. */
export function clusterTable(clusters: readonly Json[]): string {
  const rows = clusters.map((cluster) => {
    const name = text(cluster, 'name');
    // DIRECTION|PORT|SUBSET|HOST; names of other forms are shown whole.
    const parts = name.split('|');
    const [direction, port, subset, host] = parts.length === 4 ? parts : ['', '', '', name];
    return [host || '-', port || '-', subset || '-', direction || '-', typeOf(cluster), sourceConfig(cluster)];
  });
  rows.sort((a, b) => (a.join() < b.join() ? -1 : 1));
  return formatTable(['SERVICE FQDN', 'PORT', 'SUBSET', 'DIRECTION', 'TYPE', 'DESTINATION RULE'], rows);
}

function typeOf(cluster: Json): string {
  return text(cluster, 'type') || 'STATIC';
}
