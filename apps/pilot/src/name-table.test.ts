// Pilot as a whole: the table of names, for proxies that ask for it.

import { grpcChannelCredentials } from '@lateen/identity';
import { NAME_TABLE_TYPE_URL, unpackAny } from '@lateen/xds-proto';
import { NameTableSchema } from '@lateen/xds-proto/istio/networking/nds/v1/nds_pb.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TestMesh } from './test-mesh.js';
import { TestProxy, type TestProxyOptions } from './test-proxy.js';

const DB = 'db.default.svc.cluster.local';

const pod = (name: string, address: string) => ({
  name,
  namespace: 'default',
  labels: { app: name.replace(/-.*/, '') },
  serviceAccount: 'default',
  workloadName: name,
  address,
  ports: [],
  ready: true,
});

const registry = (sequence: bigint, address: string) => ({
  sequence,
  namespaces: [{ name: 'default' }],
  services: [
    { namespace: 'default', name: 'db', selector: { app: 'db' }, headless: true, ports: [{ name: 'tcp', port: 5432 }] },
  ],
  workloads: [pod('client-0', '10.1.0.1'), pod('db-0', address)],
});

let mesh: TestMesh;
beforeEach(async () => {
  mesh = await TestMesh.create();
});
afterEach(() => mesh.close());

test.each(['sotw', 'delta'] as const)(
  'a %s client that asks for names is told them, and nobody else is',
  async (form) => {
    await mesh.startGalley();
    const pilot = await mesh.startPilot({});
    await mesh.report(pilot, registry(1n, '10.1.0.5'));
    const source = await mesh.source('default', 'default');
    const connect = (further: TestProxyOptions['further']) => {
      const proxy = new TestProxy({
        target: `127.0.0.1:${pilot.ports.xds}`,
        credentials: grpcChannelCredentials(source, { expectedSpiffeIds: [mesh.id('pilot')] }),
        form,
        pod: 'client-0',
        namespace: 'default',
        serviceAccount: 'default',
        address: '10.1.0.1',
        metadata: { INTERCEPTION_MODE: 'REDIRECT', DNS_CAPTURE: 'true' },
        ...(further === undefined ? {} : { further }),
      });
      mesh.onClose(() => proxy.close());
      return proxy;
    };
    const asking = connect([NAME_TABLE_TYPE_URL]);
    const silent = connect(undefined);
    const addresses = () =>
      [...(asking.held.get(NAME_TABLE_TYPE_URL)?.values() ?? [])].map(
        ({ any }) => unpackAny(any, NameTableSchema).table[DB]?.ips,
      );
    await expect.poll(addresses).toEqual([['10.1.0.5']]);
    await mesh.report(pilot, registry(2n, '10.1.0.6'));
    await expect.poll(addresses).toEqual([['10.1.0.6']]);
    await expect.poll(() => silent.order).toContain('CDS');
    expect(silent.order).not.toContain('NDS');
  },
);
