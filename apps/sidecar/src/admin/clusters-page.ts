// Admin API: /clusters, endpoints with their counters, as Envoy's text lines or JSON.

import type { ClusterView, EndpointView } from '../data-plane.js';
import { isPipe } from '../upstream/dial.js';

/** Envoy's lines `CLUSTER::HOST::NAME::VALUE`. */
export function clustersText(clusters: readonly ClusterView[]): string {
  const lines: string[] = [];
  for (const cluster of clusters) {
    const { name, statName } = cluster;
    lines.push(
      `${name}::observability_name::${statName}`,
      `${name}::default_priority::max_connections::${cluster.maxConnections}`,
      `${name}::default_priority::max_pending_requests::${cluster.maxPendingRequests}`,
      `${name}::default_priority::max_requests::${cluster.maxRequests}`,
      `${name}::default_priority::max_retries::${cluster.maxRetries}`,
    );
    for (const endpoint of cluster.endpoints) {
      const host = `${name}::${hostPort(endpoint)}`;
      for (const [stat, value] of counters(endpoint)) lines.push(`${host}::${stat}::${value}`);
      lines.push(
        `${host}::hostname::${endpoint.hostname}`,
        `${host}::health_flags::${healthFlags(endpoint)}`,
        `${host}::weight::${endpoint.weight}`,
        `${host}::region::${endpoint.locality.region}`,
        `${host}::zone::${endpoint.locality.zone}`,
        `${host}::sub_zone::${endpoint.locality.subZone}`,
        `${host}::priority::${endpoint.priority}`,
      );
    }
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** The JSON form of envoy.admin.v3.Clusters. */
export function clustersJson(clusters: readonly ClusterView[], isDynamic: (name: string) => boolean): unknown {
  return {
    cluster_statuses: clusters.map((cluster) => ({
      name: cluster.name,
      added_via_api: isDynamic(cluster.name),
      observability_name: cluster.statName,
      circuit_breakers: {
        thresholds: [
          {
            max_connections: cluster.maxConnections,
            max_pending_requests: cluster.maxPendingRequests,
            max_requests: cluster.maxRequests,
            max_retries: cluster.maxRetries,
          },
        ],
      },
      host_statuses: cluster.endpoints.map((endpoint) => ({
        address: isPipe(endpoint)
          ? { pipe: { path: endpoint.address } }
          : { socket_address: { address: endpoint.address, port_value: endpoint.port } },
        stats: counters(endpoint).map(([name, value, type]) => ({
          name,
          value: String(value),
          ...(type === 'gauge' ? { type: 'GAUGE' } : {}),
        })),
        health_status: {
          eds_health_status: endpoint.edsHealth,
          ...(endpoint.ejected ? { failed_outlier_check: true } : {}),
          ...(endpoint.failing ? { failed_active_health_check: true } : {}),
          ...(endpoint.unchecked ? { pending_active_hc: true } : {}),
          ...(endpoint.checkTimedOut ? { active_hc_timeout: true } : {}),
        },
        weight: endpoint.weight,
        priority: endpoint.priority,
        hostname: endpoint.hostname,
        locality: {
          region: endpoint.locality.region,
          zone: endpoint.locality.zone,
          sub_zone: endpoint.locality.subZone,
        },
      })),
    })),
  };
}

/** Envoy's words for what is wrong with an endpoint. */
function healthFlags({ healthy, ejected, failing, unchecked, checkTimedOut }: EndpointView): string {
  const flags = [
    failing ? '/failed_active_hc' : '',
    ejected ? '/failed_outlier_check' : '',
    healthy ? '' : '/failed_eds_health',
    unchecked ? '/pending_active_hc' : '',
    checkTimedOut ? '/active_hc_timeout' : '',
  ].join('');
  return flags === '' ? 'healthy' : flags;
}

function counters(endpoint: EndpointView): [string, number, 'counter' | 'gauge'][] {
  return [
    ['cx_active', endpoint.cxActive, 'gauge'],
    ['cx_connect_fail', endpoint.cxConnectFail, 'counter'],
    ['cx_total', endpoint.cxTotal, 'counter'],
    ['rq_active', endpoint.rqActive, 'gauge'],
    ['rq_error', endpoint.rqError, 'counter'],
    ['rq_success', endpoint.rqSuccess, 'counter'],
    ['rq_timeout', endpoint.rqTimeout, 'counter'],
    ['rq_total', endpoint.rqTotal, 'counter'],
  ];
}

function hostPort({ address, port }: EndpointView): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
