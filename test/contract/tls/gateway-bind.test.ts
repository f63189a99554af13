// Contract from YAML to bytes: servers of a gateway that say an address take calls there, and nowhere else.

import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../../harness/free-port.js';
import { TranslatedProxy } from './translated-proxy.js';

const block = `127.${190 + Math.floor(Math.random() * 40)}.7`;
const OWN = `${block}.1`;
const INNER = `${block}.2`;

let proxy: TranslatedProxy;
let backend: Server;
let port: number;

beforeAll(async () => {
  backend = createServer(({ headers }, response) => response.end(`asked for ${headers.host}`));
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  const appPort = (backend.address() as AddressInfo).port;
  port = await freePort();
  proxy = await TranslatedProxy.start({ pod: 'edge-0.istio-system' });
  await proxy.serve(`
kind: Pod
metadata: { name: edge-0, namespace: istio-system, labels: { istio: ingressgateway } }
spec: { gateway: true, address: ${OWN}, serviceAccount: proxy }
---
kind: Pod
metadata: { name: web-0, namespace: default, labels: { app: web } }
spec: { address: 127.0.0.1, ports: [{ port: ${appPort}, appPort: ${appPort} }] }
---
kind: Service
metadata: { name: web, namespace: default }
spec: { selector: { app: web }, ports: [{ name: http, port: 80, targetPort: ${appPort} }] }
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: istio-system }
spec: { mtls: { mode: DISABLE } }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: istio-system }
spec:
  selector: { istio: ingressgateway }
  servers:
    - { port: { number: ${port}, name: http, protocol: HTTP }, hosts: [public.example] }
    - { port: { number: ${port}, name: http-inner, protocol: HTTP }, bind: ${INNER}, hosts: [inner.example] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: default }
spec:
  hosts: [public.example, inner.example]
  gateways: [istio-system/edge]
  http: [{ route: [{ destination: { host: web } }] }]
`);
}, 60_000);

afterAll(async () => {
  await proxy?.stop();
  await new Promise((resolve) => backend.close(resolve));
});

function ask(address: string, host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ host: address, port, headers: { host } }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(`${response.statusCode} ${text}`));
    });
    call.on('error', reject);
    call.end();
  });
}

test('each address has the hosts of its servers', async () => {
  expect(await ask(OWN, 'public.example')).toBe('200 asked for public.example');
  expect(await ask(INNER, 'inner.example')).toBe('200 asked for inner.example');
  expect(await ask(OWN, 'inner.example')).toMatch(/^404/);
  expect(await ask(INNER, 'public.example')).toMatch(/^404/);
});
