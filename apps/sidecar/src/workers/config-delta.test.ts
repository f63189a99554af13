// Configurations between processes: what is the same stays the same object, and what is gone is forgotten.

import { create } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { expect, it } from 'vitest';
import type { DataPlaneConfig, TlsSecret } from '../data-plane.js';
import { ConfigReceiver, ConfigSender } from './config-delta.js';

const cluster = (name: string) => create(ClusterSchema, { name, altStatName: `stat of ${name}` });
const secret = (text: string): TlsSecret => ({ kind: 'validation', trustedCaPem: text });

function config(parts: Partial<DataPlaneConfig>): DataPlaneConfig {
  return { listeners: [], clusters: [], routes: new Map(), endpoints: new Map(), secrets: new Map(), ...parts };
}

function pair() {
  const [sender, receiver] = [new ConfigSender(), new ConfigReceiver()];
  const send = (next: DataPlaneConfig) => {
    // As it goes through the channel.
    const delta = structuredClone(sender.delta(next));
    return { delta, received: receiver.receive(delta) };
  };
  return { sender, send };
}

it('says all that a configuration says', () => {
  const assignment = create(ClusterLoadAssignmentSchema, { clusterName: 'a', endpoints: [{ priority: 3 }] });
  const sent = config({
    listeners: [create(ListenerSchema, { name: 'l', tcpBacklogSize: 7 })],
    clusters: [cluster('a'), cluster('b')],
    routes: new Map([['r', create(RouteConfigurationSchema, { name: 'r', internalOnlyHeaders: ['x'] })]]),
    endpoints: new Map([['a', assignment]]),
    discovered: new Map([['b', assignment]]),
    secrets: new Map([['s', secret('pem')]]),
  });
  const { received } = pair().send(sent);
  expect(received).toEqual(sent);
  expect(received.discovered?.get('b')).toBe(received.endpoints.get('a'));
});

it('sends what is new alone, and keeps the objects of the rest', () => {
  const { send, sender } = pair();
  const [a, b] = [cluster('a'), cluster('b')];
  const first = send(config({ clusters: [a, b], secrets: new Map([['s', secret('1')]]) })).received;
  sender.committed();
  const c = cluster('c');
  const second = send(config({ clusters: [b, c], secrets: new Map([['s', secret('1')]]) }));
  expect(second.delta.fresh).toHaveLength(1);
  expect(second.received.clusters[0]).toBe(first.clusters[1]);
  expect(second.received.secrets.get('s')).toBe(first.secrets.get('s'));
  // `a` is in effect until the second one is.
  expect(second.delta.gone).toEqual([]);
  sender.committed();
  const third = send(config({ clusters: [c], secrets: new Map([['s', secret('2')]]) }));
  expect(third.delta.gone).toHaveLength(1);
  expect(third.received.secrets.get('s')).toEqual(secret('2'));
});

it('still has what is in effect after one that was not put in effect', () => {
  const { send, sender } = pair();
  const [a, b] = [cluster('a'), cluster('b')];
  const first = send(config({ clusters: [a] })).received;
  sender.committed();
  send(config({ clusters: [b] }));
  const again = send(config({ clusters: [a] }));
  expect(again.received.clusters[0]).toBe(first.clusters[0]);
  expect(again.delta).toMatchObject({ fresh: [], gone: [2] });
});
