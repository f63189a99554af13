// Tests of explain in a cluster: calls of pods whose connections are intercepted, by address, name and port.

import { buildSnapshot } from '@lateen/translate';
import { describe, expect, it } from 'vitest';
import { readMesh } from '../../translate/test/mesh-fixture.js';
import { type Explanation, explain, findCaller, parseRequest } from '../src/index.js';

const MESH = `
kind: Pod
metadata: { name: client-0, namespace: default, labels: { app: client } }
spec: { address: 10.1.0.1, mutualTls: true, ports: [] }
---
kind: Pod
metadata: { name: web-0, namespace: default, labels: { app: web } }
spec: { address: 10.1.0.2, mutualTls: true, serviceAccount: web, ports: [{ port: 8080, appPort: 8080 }] }
---
kind: Pod
metadata: { name: bare-0, namespace: default, labels: { app: bare } }
spec: { address: 10.1.0.3, mutualTls: false, ports: [{ port: 9000, appPort: 9000 }] }
---
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIPs: [10.96.0.10], selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
kind: Service
metadata: { name: bare, namespace: default }
spec: { clusterIPs: [10.96.0.11], selector: { app: bare }, ports: [{ name: tcp, port: 9000 }] }
---
kind: ServiceEntry
metadata: { name: subnet, namespace: default }
spec:
  hosts: [subnet.example.com]
  addresses: [10.8.0.0/16]
  resolution: STATIC
  endpoints: [{ address: 10.9.0.1 }]
  ports: [{ number: 5432, name: tcp, protocol: TCP }]
---
kind: PeerAuthentication
metadata: { name: default, namespace: default }
spec: { mtls: { mode: STRICT } }
`;

function ask(request: string, further = ''): Explanation {
  const input = readMesh(MESH + further);
  const snapshot = buildSnapshot(input);
  const caller = findCaller(snapshot, 'client-0', 'default');
  return explain({ snapshot, documents: input.configs, caller, request: parseRequest(request, []) });
}

describe('a pod whose connections are intercepted', () => {
  it('calls a service by name or by its address, whose sidecar takes it by mutual TLS', () => {
    for (const host of ['web', 'web.default', '10.96.0.10']) {
      expect(ask(`http://${host}/`)).toMatchObject({
        action: 'forward',
        clusters: [{ name: 'outbound|80||web.default.svc.cluster.local' }],
        inbound: [{ workload: 'web-0', port: 8080, mtls: 'STRICT', accepted: true, cluster: 'inbound|8080||' }],
      });
    }
  });

  it('calls TCP by the address, and a pod without a sidecar in plain text', () => {
    const answer = ask('http://bare:9000/');
    expect(answer).toMatchObject({
      action: 'tcp',
      clusters: [{ name: 'outbound|9000||bare.default.svc.cluster.local' }],
    });
    expect(answer.clusters[0]?.endpoints).toMatchObject([{ pod: 'bare-0.default', tls: 'none' }]);
    expect(answer.inbound).toEqual([]);
  });

  it('passes to unknown hosts by their name, and under REGISTRY_ONLY does not', () => {
    expect(ask('http://other.example.com/')).toMatchObject({ clusters: [{ name: 'PassthroughCluster' }] });
    const mode = 'kind: MeshConfig\nspec: { outboundTrafficPolicy: { mode: REGISTRY_ONLY } }';
    expect(ask('http://other.example.com/', `---\n${mode}`)).toMatchObject({ action: 'directResponse' });
  });

  it('passes on connections to ports that nobody listens for, and tells where', () => {
    expect(ask('http://other.example.com:7777/').outcome).toContain('goes to PassthroughCluster');
    expect(ask('http://10.99.0.1:5432/').outcome).toContain('goes to PassthroughCluster');
  });
});
