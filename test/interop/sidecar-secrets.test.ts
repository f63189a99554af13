// Interop tests: a stock Envoy and a Lateen sidecar are served the Secret that a rule for their workload names, and call with it.

import { TestWebAuthority } from '@lateen/identity/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TestBackend, tlsBackend } from '../contract/tls/tls-client.js';
import { TranslatedProxy } from '../contract/tls/translated-proxy.js';
import { httpGet } from '../harness/http-get.js';
import { requireStockEnvoy } from './envoy-required.js';

const envoyPath = requireStockEnvoy();
const block = `127.${160 + Math.floor(Math.random() * 40)}.9`;
const SIDECARS = ['envoy', 'lateen'] as const;
const HOST = 'partner.example.com';

describe.skipIf(envoyPath === undefined)('Secrets of sidecars under Envoy and Lateen', () => {
  const proxies: TranslatedProxy[] = [];
  let backend: TestBackend;
  let secret = '';

  const mesh = (index: number, app: string) => `
kind: Pod
metadata: { name: client-0, namespace: default, labels: { app: client } }
spec:
  { address: ${block}.${10 + index}, workload: client, serviceAccount: client, ports: [], serviceAddresses: { ${HOST}: ${block}.${20 + index} } }
---
kind: MeshConfig
spec: { enableAutoMtls: false }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: partner, namespace: default }
spec:
  hosts: [${HOST}]
  resolution: STATIC
  location: MESH_EXTERNAL
  ports: [{ number: 8000, name: http, protocol: HTTP, targetPort: ${backend.port} }]
  endpoints: [{ address: 127.0.0.1 }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: partner, namespace: default }
spec:
  host: ${HOST}
  workloadSelector: { matchLabels: { app: ${app} } }
  trafficPolicy: { tls: { mode: MUTUAL, credentialName: partner } }
${secret}`;

  beforeAll(async () => {
    const servers = await TestWebAuthority.create('servers');
    const clients = await TestWebAuthority.create('clients');
    const { certPem: cert, keyPem: key } = await servers.issue({ dnsNames: [HOST] });
    const friend = await clients.issue({ dnsNames: ['friend.example.org'], subject: 'friend' });
    const ca = clients.rootsPem;
    backend = await tlsBackend('partner', { cert, key, ca, requestCert: true, rejectUnauthorized: true });
    const indented = (pem: string) => pem.trimEnd().replaceAll('\n', '\n    ');
    secret = `---
kind: Secret
metadata: { name: partner, namespace: default }
stringData:
  tls.crt: |
    ${indented(friend.certPem)}
  tls.key: |
    ${indented(friend.keyPem)}
  ca.crt: |
    ${indented(servers.rootsPem)}
`;
    for (const name of SIDECARS) {
      const options = name === 'envoy' ? { envoyPath: envoyPath ?? '' } : {};
      proxies.push(await TranslatedProxy.start({ pod: 'client-0.default', ...options }));
    }
  });

  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await backend?.close();
  });

  test.each([
    [
      'one that the rule selects calls with them',
      'client',
      [200, `partner sni=${HOST} client=friend got GET /x HTTP/1.1`],
    ],
    // In plain text, which the server does not take.
    ['one that it does not select has none', 'others', [503]],
  ])('%s', async (_what, app, expected) => {
    for (const [index, proxy] of proxies.entries()) {
      await proxy.serve(mesh(index, app));
      const { status, body } = await httpGet(`http://${block}.${20 + index}:8000/x`, { host: HOST });
      expect([SIDECARS[index], status, ...(status === 200 ? [body] : [])]).toEqual([SIDECARS[index], ...expected]);
    }
  });
});
