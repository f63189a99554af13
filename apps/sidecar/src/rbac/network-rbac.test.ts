// RBAC of connections without HTTP: who may not is cut before anybody is connected to.

import { describe, expect, it } from 'vitest';
import type { AccessLogRecord } from '../data-plane.js';
import { echo, openClient, readAll, startTcpServer, tcpProxy } from '../tcp/tcp-fixture.js';
import { ANYBODY, networkRbac, rules } from '../testing/access-rules.js';
import { cluster, dataPlaneConfig, endpointOf, listener } from '../testing/envoy-config.js';
import { ACCESS_LOG } from '../testing/one-cluster.js';
import { startProxy } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';

type Json = Record<string, unknown>;

async function start(...filters: readonly Json[]) {
  let accepted = 0;
  const port = await startTcpServer((socket) => {
    accepted++;
    socket.write('first');
    echo(socket);
  });
  const log: AccessLogRecord[] = [];
  const chain = { filters: [...filters, tcpProxy({ cluster: 'c' }, ACCESS_LOG)] };
  const proxy = await startProxy(dataPlaneConfig([listener('l', [chain])], [cluster('c', [endpointOf(port)])]), {
    createAccessLogSink: () => (record) => log.push(record),
  });
  return { proxy, log, accepted: () => accepted };
}

const fromLoopback = { direct_remote_ip: { address_prefix: '127.0.0.0', prefix_len: 8 } };
const toPort = (port: number): Json => ({ destination_port: port });

describe('the network filter', () => {
  it('lets connections pass that a policy allows, and counts them', async () => {
    const { proxy, log } = await start(
      networkRbac({ rules: rules('ALLOW', { 'ns[a]-policy[p]-rule[0]': [ANYBODY, fromLoopback] }) }),
    );
    const client = await openClient(proxy.port());
    const all = readAll(client);
    client.end('hello');
    expect((await all).toString()).toBe('firsthello');
    await eventually(() => log.length === 1, 'the connection is logged');
    expect(log[0]?.connectionTerminationDetails).toBeUndefined();
    expect(proxy.dataPlane.rbac()).toMatchObject([{ kind: 'network', statPrefix: 'tcp.', allowed: 1, denied: 0 }]);
  });

  it('cuts others before the upstream hears of them, and says why', async () => {
    const { proxy, log, accepted } = await start(
      networkRbac({
        rules: rules('DENY', { 'no port': [toPort(1), ANYBODY], 'not here': [ANYBODY, fromLoopback] }),
        shadow_rules: rules('ALLOW', {}),
        enforcement_type: 'CONTINUOUS',
      }),
    );
    const client = await openClient(proxy.port());
    client.on('error', () => {});
    client.write('hello');
    await eventually(() => client.destroyed || client.readableEnded || log.length === 1, 'the connection ends');
    await eventually(() => log.length === 1, 'the connection is logged');
    expect(log[0]).toMatchObject({
      connectionTerminationDetails: 'rbac_access_denied_matched_policy[not_here]',
      bytesReceived: 0,
      upstreamHost: undefined,
    });
    expect(accepted()).toBe(0);
    expect(proxy.dataPlane.rbac()).toMatchObject([{ denied: 1, shadowDenied: 1 }]);
    expect(proxy.dataPlane.stats.tcpCxActive).toBe(0);
  });

  it('is refused where its rules are about requests', async () => {
    const aboutPath = { url_path: { path: { exact: '/' } } };
    await expect(start(networkRbac({ rules: rules('DENY', { a: [aboutPath, ANYBODY] }) }))).rejects.toThrow(
      'has no meaning for connections',
    );
  });
});
