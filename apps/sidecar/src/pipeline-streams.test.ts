// The whole data path over Node's streams, as where its native handles are not given out: plain and mutual TLS.

import { TestAuthority } from '@lateen/identity/testing';
import { expect, it, vi } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  TLS_INSPECTOR,
  toCluster,
} from './testing/envoy-config.js';
import { meshClientSocket, meshServerSocket, workloadSecrets } from './testing/mesh-identity.js';
import { startProxy, startUpstream } from './testing/proxy-fixture.js';
import { streamInternals } from './transport/stream-handles.js';

// Read when the module is loaded, which is after this and before the tests.
vi.hoisted(() => {
  process.env.LATEEN_SOCKETS = 'streams';
});

it('carries requests and large bodies through two proxies', async () => {
  expect(streamInternals).toBeUndefined();
  const authority = await TestAuthority.create();
  const [server, client] = [
    await workloadSecrets(authority, 'reviews'),
    await workloadSecrets(authority, 'productpage'),
  ];
  const app = await startUpstream();
  const tls = { filter_chain_match: { transport_protocol: 'tls' }, transport_socket: meshServerSocket() };
  const inbound = await startProxy(
    dataPlaneConfig(
      [
        listener('inbound', [{ ...tls, filters: [connectionManager(anyHost(toCluster('app')))] }], {
          listener_filters: [TLS_INSPECTOR],
          traffic_direction: 'INBOUND',
        }),
      ],
      [cluster('app', [endpointOf(app.port)])],
      server,
    ),
  );
  const outbound = await startProxy(
    dataPlaneConfig(
      [listener('outbound', [{ filters: [connectionManager(anyHost(toCluster('reviews')))] }])],
      [cluster('reviews', [endpointOf(inbound.port())], { transport_socket: meshClientSocket('reviews') })],
      client,
    ),
  );
  const connection = await outbound.client();
  const body = 'abcdefghij'.repeat(100_000);
  for (let turn = 0; turn < 3; turn++) {
    connection.send(`POST /${turn} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    const upstream = turn === 0 ? await app.next() : app.connections[0]!;
    const request = await upstream.message();
    expect(request.head).toContain(`POST /${turn} HTTP/1.1`);
    expect(request.body === body).toBe(true);
    upstream.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    expect((await connection.message()).body === body).toBe(true);
  }
  connection.send('GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  await app.connections[0]!.message();
  app.connections[0]!.send('HTTP/1.1 204 No Content\r\n\r\n');
  await connection.untilEnd();
  expect(connection.received).toMatch(/^HTTP\/1.1 204 /);
});
