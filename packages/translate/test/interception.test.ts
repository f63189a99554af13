// Tests of what intercepted proxies share, and of addresses for hosts that have none.

import { describe, expect, it } from 'vitest';
import { buildResources, buildSnapshot, partsOf, resolveProxyView } from '../src/index.js';
import { proxyOf, readMesh } from './mesh-fixture.js';

const pod = (name: string, app: string, address: string) => `
---
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${app} } }
spec: { address: ${address}, ports: [{ port: 8080, appPort: 8080 }] }
`;

const entry = (name: string, hosts: readonly string[]) => `
---
kind: ServiceEntry
metadata: { name: ${name}, namespace: default }
spec: { hosts: [${hosts.join(', ')}], resolution: DNS, ports: [{ number: 5432, name: tcp, protocol: TCP }] }
`;

const MESH = `
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIPs: [10.96.0.10], selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
kind: Service
metadata: { name: db, namespace: default }
spec: { clusterIP: None, selector: { app: db }, ports: [{ name: tcp, port: 8080 }] }
${['web-0', 'web-1'].map((name, index) => pod(name, 'web', `10.1.0.${index + 1}`)).join('')}${pod('db-0', 'db', '10.1.0.5')}${pod('db-1', 'db', '10.1.0.6')}`;

function viewOf(name: string, mesh = MESH) {
  const input = readMesh(mesh);
  const proxy = proxyOf(input, `${name}.default`, { INTERCEPTION_MODE: 'REDIRECT', DNS_CAPTURE: 'true' });
  return resolveProxyView(buildSnapshot(input), proxy);
}

const listenersOf = (name: string) => buildResources(viewOf(name)).listeners.map((listener) => listener.name);

describe('intercepted proxies', () => {
  it('share everything with the replicas of their workload', () => {
    const [one, other] = ['web-0', 'web-1'].map((name) => partsOf(viewOf(name)));
    for (const part of ['listeners', 'routes', 'localClusters', 'outboundClusters', 'names'] as const) {
      expect(one![part].key).toBe(other![part].key);
    }
  });

  it('capture nothing that goes to their own address', () => {
    expect(listenersOf('web-0')).toEqual(expect.arrayContaining(['10.1.0.5_8080', '10.1.0.6_8080']));
    expect(listenersOf('db-0')).toContain('10.1.0.6_8080');
    expect(listenersOf('db-0')).not.toContain('10.1.0.5_8080');
    expect(partsOf(viewOf('db-0')).listeners.key).not.toBe(partsOf(viewOf('db-1')).listeners.key);
  });
});

describe('allocated addresses', () => {
  const addressOf = (mesh: string, host: string) =>
    buildResources(viewOf('web-0', mesh)).names[0]?.message.table[host]?.ips;

  it('stay what they are when other hosts come, and are nobody else’s', () => {
    const hosts = Array.from({ length: 400 }, (_, index) => `host-${index}.example.com`);
    const alone = addressOf(MESH + entry('a', ['host-7.example.com']), 'host-7.example.com');
    const table = buildResources(viewOf('web-0', MESH + entry('a', hosts))).names[0]!.message.table;
    expect(table['host-7.example.com']?.ips).toEqual(alone);
    expect(new Set(hosts.map((host) => table[host]?.ips[0])).size).toBe(hosts.length);
  });
});
