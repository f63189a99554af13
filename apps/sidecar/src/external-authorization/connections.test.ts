// Connections that an authorizer is asked about, before anybody is connected to.

import { afterEach, describe, expect, it } from 'vitest';
import type { AccessLogRecord } from '../data-plane.js';
import { echo, openClient, readAll, startTcpServer, tcpProxy } from '../tcp/tcp-fixture.js';
import { ANYBODY, networkRbac, rules } from '../testing/access-rules.js';
import { startGrpcAuthorizer } from '../testing/authorizer-server.js';
import { cluster, dataPlaneConfig, endpointOf, httpOptions, listener } from '../testing/envoy-config.js';
import { ACCESS_LOG } from '../testing/one-cluster.js';
import { startProxy } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';

type Json = Record<string, unknown>;

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

const asking = (extra: Json = {}): Json => ({
  name: 'envoy.filters.network.ext_authz',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz',
    stat_prefix: 'tcp.',
    transport_api_version: 'V3',
    grpc_service: { envoy_grpc: { cluster_name: 'authorizer' }, timeout: '20s' },
    ...extra,
  },
});

async function start(...filters: readonly Json[]) {
  let accepted = 0;
  const port = await startTcpServer((socket) => {
    accepted++;
    socket.write('first');
    echo(socket);
  });
  const authorizer = await startGrpcAuthorizer();
  cleanups.push(() => authorizer.stop());
  const log: AccessLogRecord[] = [];
  const chain = { filters: [...filters, tcpProxy({ cluster: 'c' }, ACCESS_LOG)] };
  const clusters = [
    cluster('c', [endpointOf(port)]),
    cluster(
      'authorizer',
      [endpointOf(authorizer.port)],
      httpOptions({ explicit_http_config: { http2_protocol_options: {} } }),
    ),
  ];
  const proxy = await startProxy(dataPlaneConfig([listener('l', [chain])], clusters), {
    createAccessLogSink: () => (record) => log.push(record),
  });
  return { proxy, log, authorizer, accepted: () => accepted, counts: () => proxy.dataPlane.authorizers()[0] };
}

describe('the network filter', () => {
  it('asks who connects from where, and lets pass what came meanwhile', async () => {
    const { proxy, authorizer, counts } = await start(asking());
    const client = await openClient(proxy.port());
    const all = readAll(client);
    client.end('hello');
    expect((await all).toString()).toBe('firsthello');
    const { source, destination, request } = authorizer.asked[0]?.attributes ?? {};
    expect(source?.address?.address.value).toMatchObject({ address: '127.0.0.1' });
    expect(destination?.address?.address.value).toMatchObject({
      portSpecifier: { case: 'portValue', value: proxy.port() },
    });
    expect(request).toBeUndefined();
    expect(counts()).toMatchObject({ kind: 'network', statPrefix: 'tcp.', total: 1, ok: 1, denied: 0 });
  });

  it('cuts whom it denies before the upstream hears of them', async () => {
    const { proxy, authorizer, accepted, log, counts } = await start(asking());
    authorizer.answer = () => ({ status: { code: 7 } });
    const client = await openClient(proxy.port());
    client.on('error', () => {});
    client.write('hello');
    await eventually(() => log.length === 1, 'the connection is logged');
    expect(log[0]).toMatchObject({ responseFlags: 'UAEX', responseCodeDetails: 'ext_authz_denied' });
    expect(accepted()).toBe(0);
    expect(counts()).toMatchObject({ denied: 1, ok: 0 });
  });

  it('asks only about what rules have marked, and fails closed', async () => {
    const marks = networkRbac({
      shadow_rules: rules('DENY', { 'ask-1': [ANYBODY, ANYBODY] }),
      shadow_rules_stat_prefix: 'custom_',
    });
    const enabling = (key: string) => ({
      filter_enabled_metadata: {
        filter: 'envoy.filters.network.rbac',
        path: [{ key }],
        value: { string_match: { prefix: 'ask-' } },
      },
    });
    const unmarked = await start(marks, asking(enabling('other_shadow_effective_policy_id')));
    const first = await openClient(unmarked.proxy.port());
    const all = readAll(first);
    first.end('hello');
    expect((await all).toString()).toBe('firsthello');
    expect(unmarked.counts()).toMatchObject({ disabled: 1, total: 0 });
    const marked = await start(
      marks,
      asking({
        ...enabling('custom_shadow_effective_policy_id'),
        grpc_service: { envoy_grpc: { cluster_name: 'gone' } },
      }),
    );
    const second = await openClient(marked.proxy.port());
    second.on('error', () => {});
    await eventually(() => marked.log.length === 1, 'the connection is logged');
    expect(marked.log[0]).toMatchObject({ responseFlags: 'UAEX', responseCodeDetails: 'ext_authz_error' });
    expect(marked.accepted()).toBe(0);
  });
});
