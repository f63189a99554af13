// Proxy configuration: the bootstrap in a few lines.

import { addressText, child, children, text } from './config-dump.js';

/** Who the sidecar is, where its admin API is and what gives it its configuration. */
export function bootstrapSummary(bootstrap: unknown): string {
  const node = child(bootstrap, 'node');
  const admin = addressText(child(bootstrap, 'admin', 'address'));
  const ads = child(bootstrap, 'dynamic_resources', 'ads_config');
  const [service] = children(ads, 'grpc_services');
  const fixed = child(bootstrap, 'static_resources');
  const lines = [
    ['NODE', text(node, 'id')],
    ['CLUSTER', text(node, 'cluster')],
    ['ADMIN', admin.address === '' ? '' : `${admin.address}:${admin.port}`],
    ['ADS', `${text(ads, 'api_type')} ${text(child(service, 'envoy_grpc'), 'cluster_name')}`.trim()],
    [
      'STATIC CLUSTERS',
      children(fixed, 'clusters')
        .map((cluster) => text(cluster, 'name'))
        .join(', '),
    ],
    [
      'STATIC LISTENERS',
      children(fixed, 'listeners')
        .map((listener) => text(listener, 'name'))
        .join(', '),
    ],
  ];
  return lines.map(([name, value]) => `${name!.padEnd(17)}${value || '-'}`).join('\n');
}
