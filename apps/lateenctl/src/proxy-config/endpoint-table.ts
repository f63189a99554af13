// Proxy configuration: endpoints, a row each, from the admin API's /clusters?format=json.

import { formatTable } from '../output/table.js';
import { addressText, child, children, text } from './config-dump.js';

/** As `istioctl proxy-config endpoints` shows them. */
export function endpointTable(clusters: unknown): string {
  const rows = children(clusters, 'cluster_statuses').flatMap((cluster) =>
    children(cluster, 'host_statuses').map((host) => {
      const { address, port } = addressText(child(host, 'address'));
      const health = child(host, 'health_status');
      return [
        port === '' ? address : `${address}:${port}`,
        // What the proxy has found out itself comes before what it was told.
        health.failed_active_health_check === true ? 'UNHEALTHY' : text(health, 'eds_health_status') || 'HEALTHY',
        health.failed_outlier_check === true ? 'FAILED' : 'OK',
        text(cluster, 'name'),
      ];
    }),
  );
  rows.sort((a, b) => (`${a[3]} ${a[0]}` < `${b[3]} ${b[0]}` ? -1 : 1));
  return formatTable(['ENDPOINT', 'STATUS', 'OUTLIER CHECK', 'CLUSTER'], rows);
}
