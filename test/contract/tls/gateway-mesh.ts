// Contract tests of TLS: the documents of a gateway with its servers and Secrets, in front of backends without sidecars.

import type { WebCertificate } from '@lateen/identity/testing';
import type { TestBackend } from './tls-client.js';

/** Answers requests, bytes, and TLS of its own. */
export interface GatewayBackends {
  readonly web: TestBackend;
  readonly echo: TestBackend;
  readonly secure: TestBackend;
}

const indented = (pem: string) => pem.trimEnd().replaceAll('\n', '\n    ');

/** A Secret as `kubectl create secret` writes it; keys without a value are left out. */
export function secret(name: string, values: Record<string, string | undefined>): string {
  const lines = Object.entries(values).flatMap(([key, value]) =>
    value === undefined ? [] : [`  ${key}: |\n    ${indented(value)}`],
  );
  return `---\nkind: Secret\nmetadata: { name: ${name}, namespace: istio-system }\nstringData:\n${lines.join('\n')}\n`;
}

export function pair(name: string, certificate: WebCertificate, more: Record<string, string> = {}): string {
  return secret(name, { 'tls.crt': certificate.certPem, 'tls.key': certificate.keyPem, ...more });
}

/** Gateway, backends without sidecars, and one VirtualService for each host. */
export function gatewayMesh(address: string, backends: GatewayBackends, servers: string, more = ''): string {
  const { web, echo, secure } = backends;
  const backend = (name: string, port: number, portName: string) => `
---
kind: Pod
metadata: { name: ${name}-0, namespace: default, labels: { app: ${name} } }
spec: { address: 127.0.0.1, ports: [{ port: ${port}, appPort: ${port} }] }
---
kind: Service
metadata: { name: ${name}, namespace: default }
spec: { selector: { app: ${name} }, ports: [{ name: ${portName}, port: 80, targetPort: ${port} }] }`;
  return `
kind: Pod
metadata: { name: edge-0, namespace: istio-system, labels: { istio: ingressgateway } }
spec: { gateway: true, address: ${address}, serviceAccount: proxy }
${backend('web', web.port, 'http')}
${backend('echo', echo.port, 'tcp')}
${backend('secure', secure.port, 'tls')}
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
${servers.replace(/^/gm, '    ')}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: default }
spec:
  hosts: [a.example.com, b.example.com, c.example.com, x.wild.example.com]
  gateways: [istio-system/edge]
  http: [{ route: [{ destination: { host: web } }] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: connections, namespace: default }
spec:
  hosts: ["*"]
  gateways: [istio-system/edge]
  tcp: [{ route: [{ destination: { host: echo } }] }]
  tls:
    - match: [{ sniHosts: [pass.example.com], port: 443 }, { sniHosts: ["*.deep.example.com"] }]
      route: [{ destination: { host: secure } }]
${more}`;
}

/** One server of the Gateway. */
export const server = (name: string, port: number, protocol: string, hosts: string, tls = '') =>
  `- port: { number: ${port}, name: ${name}, protocol: ${protocol} }\n  hosts: [${hosts}]\n${tls === '' ? '' : `  tls: { ${tls} }\n`}`;
