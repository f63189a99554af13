// What stands before a gateway: words of MeshConfig, and the gateway's own annotation before them.

import { unpackAny } from '@lateen/xds-proto';
import {
  HttpConnectionManager_ForwardClientCertDetails as Details,
  HttpConnectionManagerSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { expect, test } from 'vitest';
import { buildResources, buildSnapshot, resolveProxyView } from '../src/index.js';
import { proxyOf, readMesh } from './mesh-fixture.js';

/** The connection managers of two gateways of a mesh: one without an annotation, one with. */
function managersOf(topology: string, annotation: string) {
  const gateway = (name: string) => `
kind: Pod
metadata: { name: ${name}, namespace: istio-system, labels: { istio: ingressgateway } }
spec: { gateway: true, ports: [] }
---`;
  const mesh = readMesh(`${gateway('plain-0')}${gateway('told-0')}
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: default }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }]
---
kind: MeshConfig
spec: { defaultConfig: { gatewayTopology: { ${topology} } } }
`);
  const told: Record<string, string> = { 'proxy.istio.io/config': annotation };
  const workloads = mesh.workloads.map((workload) =>
    workload.name === 'told-0' ? { ...workload, annotations: told } : workload,
  );
  const input = { ...mesh, workloads };
  const snapshot = buildSnapshot(input);
  return ['plain-0', 'told-0'].map((name) => {
    const { listeners } = buildResources(resolveProxyView(snapshot, proxyOf(input, `${name}.istio-system`)));
    const { configType } = listeners.find((listener) => listener.name === '0.0.0.0_8080')!.message.filterChains[0]!
      .filters[0]!;
    if (configType.case !== 'typedConfig') throw new Error('no configuration');
    const { xffNumTrustedHops, forwardClientCertDetails } = unpackAny(configType.value, HttpConnectionManagerSchema);
    return [xffNumTrustedHops, forwardClientCertDetails];
  });
}

test('a gateway trusts the proxies and certificates that its annotation says, others those of the mesh', () => {
  const annotation = 'gatewayTopology: { numTrustedProxies: 2, forwardClientCertDetails: APPEND_FORWARD }';
  expect(managersOf('numTrustedProxies: 1, forwardClientCertDetails: SANITIZE', annotation)).toEqual([
    [1, Details.SANITIZE],
    [2, Details.APPEND_FORWARD],
  ]);
});

test('nobody is trusted unless somebody says so', () => {
  expect(managersOf('', 'gatewayTopology: { numTrustedProxies: 1 }')).toEqual([
    [0, Details.SANITIZE_SET],
    [1, Details.SANITIZE_SET],
  ]);
});
