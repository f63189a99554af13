// Views of clusters: endpoints are shown with the place, priority and weight that the configuration gives them.

import { expect, it } from 'vitest';
import { clustersText } from '../admin/clusters-page.js';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../testing/envoy-config.js';
import { startProxy } from '../testing/proxy-fixture.js';

function configOf(zone: string) {
  const group = (priority: number, region: string, port: number) => ({
    priority,
    locality: { region, zone, sub_zone: 'rack' },
    lb_endpoints: [endpointOf(port, { load_balancing_weight: port })],
  });
  const assignment = { cluster_name: 'c', endpoints: [group(1, 'us', 2), group(0, 'eu', 1)] };
  return dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')))] }])],
    [cluster('c', [], { load_assignment: assignment })],
  );
}

it('show where endpoints are, also after that has changed', async () => {
  const proxy = await startProxy(configOf('z1'));
  const seen = () =>
    proxy.dataPlane
      .clusters()
      .find(({ name }) => name === 'c')!
      .endpoints.map(({ locality: { region, zone, subZone }, priority, weight }) => [
        `${region}/${zone}/${subZone}`,
        priority,
        weight,
      ]);
  expect(seen()).toEqual([
    ['eu/z1/rack', 0, 1],
    ['us/z1/rack', 1, 2],
  ]);
  await proxy.dataPlane.apply(configOf('z2'));
  expect(seen()).toEqual([
    ['eu/z2/rack', 0, 1],
    ['us/z2/rack', 1, 2],
  ]);
  const text = clustersText(proxy.dataPlane.clusters());
  expect(text).toContain('c::127.0.0.1:2::region::us\nc::127.0.0.1:2::zone::z2\n');
  expect(text).toContain('c::127.0.0.1:2::priority::1\n');
});
