// Which headers a sidecar is told to set: words of MeshConfig, and a workload's annotation before them.

import { unpackAny } from '@lateen/xds-proto';
import {
  HttpConnectionManager_ForwardClientCertDetails as Details,
  HttpConnectionManagerSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { expect, test } from 'vitest';
import { buildResources, buildSnapshot, resolveProxyView } from '../src/index.js';
import { proxyOf, readMesh } from './mesh-fixture.js';

/** @param proxyHeaders of the mesh, as YAML in one line */
function managersOf(proxyHeaders: string, annotation = '') {
  const mesh = readMesh(`
kind: Pod
metadata: { name: web-0, namespace: default, labels: { app: web } }
spec: { workload: web, ports: [{ port: 8080, appPort: 1, name: http }] }
---
kind: MeshConfig
spec: { defaultConfig: { proxyHeaders: { ${proxyHeaders} } } }
`);
  const annotations: Record<string, string> = annotation === '' ? {} : { 'proxy.istio.io/config': annotation };
  const input = { ...mesh, workloads: mesh.workloads.map((workload) => ({ ...workload, annotations })) };
  const { listeners } = buildResources(resolveProxyView(buildSnapshot(input), proxyOf(input, 'web-0.default')));
  const managerOf = (name: RegExp) => {
    const { message } = listeners.find((listener) => name.test(listener.name))!;
    const { configType } = message.filterChains[0]!.filters[0]!;
    if (configType.case !== 'typedConfig') throw new Error('no configuration');
    return unpackAny(configType.value, HttpConnectionManagerSchema);
  };
  return { inbound: managerOf(/_8080$/), outbound: managerOf(/_15007$/) };
}

test.each([
  ['UNDEFINED', Details.APPEND_FORWARD],
  ['SANITIZE', Details.SANITIZE],
  ['FORWARD_ONLY', Details.FORWARD_ONLY],
  ['APPEND_FORWARD', Details.APPEND_FORWARD],
  ['SANITIZE_SET', Details.SANITIZE_SET],
  ['ALWAYS_FORWARD_ONLY', Details.ALWAYS_FORWARD_ONLY],
])('forwardedClientCert %s is for requests to the workload', (word, details) => {
  const { inbound, outbound } = managersOf(`forwardedClientCert: ${word}`);
  expect(inbound.forwardClientCertDetails).toBe(details);
  expect(outbound.forwardClientCertDetails).toBe(Details.SANITIZE);
});

test('setCurrentClientCertDetails leaves out what it says, and nothing else', () => {
  const { subject, dns, uri } = managersOf('setCurrentClientCertDetails: { subject: false, dns: false }').inbound
    .setCurrentClientCertDetails!;
  expect([subject, dns, uri]).toEqual([false, false, true]);
});

test('setCurrentClientCertDetails adds the certificate and its chain', () => {
  const { cert, chain } = managersOf('setCurrentClientCertDetails: { cert: true, chain: true }').inbound
    .setCurrentClientCertDetails!;
  expect([cert, chain]).toEqual([true, true]);
  expect(managersOf('').inbound.setCurrentClientCertDetails).toMatchObject({ cert: false, chain: false });
});

test.each([
  ['', false],
  ['xForwardedPort: { enabled: false }', false],
  ['xForwardedPort: { enabled: true }', true],
])('%s: requests say at which port their client has connected, or not', (proxyHeaders, isTold) => {
  expect(managersOf(proxyHeaders).outbound.appendXForwardedPort).toBe(isTold);
});

test('an annotation counts before the mesh, field by field', () => {
  const { inbound } = managersOf(
    'requestId: { disabled: true }, server: { value: a }',
    'proxyHeaders: { server: { value: b } }',
  );
  expect([inbound.serverName, inbound.generateRequestId]).toEqual(['b', false]);
});

test('names of headers keep their case toward and from stock Envoys where the mesh says so', () => {
  const formatOf = ({ inbound }: ReturnType<typeof managersOf>) =>
    inbound.httpProtocolOptions?.headerKeyFormat?.headerFormat;
  expect(formatOf(managersOf('preserveHttp1HeaderCase: true'))?.value).toMatchObject({ name: 'preserve_case' });
  expect(formatOf(managersOf('preserveHttp1HeaderCase: false'))).toBeUndefined();
});
