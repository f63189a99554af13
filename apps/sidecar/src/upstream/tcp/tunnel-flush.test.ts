// Tunnels that both sides have ended: a server that does not read the rest is left after five minutes, however it is asked.

import { constants } from 'node:http2';
import { expect, it } from 'vitest';
import { httpOptions } from '../../testing/envoy-config.js';
import { startOneCluster } from '../../testing/one-cluster.js';
import { type ProxyFixture, passTime, pathOf } from '../../testing/proxy-fixture.js';
import {
  DATA,
  END_STREAM,
  frame,
  framesOf,
  HEADERS,
  head,
  PREFACE,
  RST_STREAM,
  resetCode,
  SETTINGS,
} from '../../testing/raw-http2.js';
import { eventually, type RawConnection } from '../../testing/raw-peers.js';

const CONNECT = 'CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n';
const ALMOST_MS = 290_000;
const REST_MS = 20_000;
const UPGRADES = { upgrade_configs: [{ upgrade_type: 'CONNECT' }] };
const ONWARD = { match: { connect_matcher: {} }, route: { cluster: 'c' } };
const ENDS_HERE = {
  match: { connect_matcher: {} },
  route: { cluster: 'c', upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] },
};

/** Sends until the proxy holds bytes that its upstream does not take. */
async function sendTooMuch(client: RawConnection, proxy: ProxyFixture): Promise<void> {
  const { slots } = pathOf(proxy);
  const before = slots.usedBytes;
  const piece = Buffer.alloc(16 * 1024);
  while (slots.usedBytes === before) {
    await new Promise((resolve) => client.socket.write(piece, resolve));
    // The proxy is in this process: it reads in the next turn of the event loop.
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  }
}

it.each([
  ['ends at the proxy', ENDS_HERE, ''],
  ['goes on as CONNECT of HTTP/1.1', ONWARD, 'HTTP/1.1 200 OK\r\n\r\n'],
])('a tunnel that %s', async (_, route, agreement) => {
  const { proxy, upstream, log } = await startOneCluster({ routes: [route], hcm: UPGRADES });
  const client = await proxy.client();
  client.send(CONNECT);
  const server = await upstream.next();
  if (agreement !== '') {
    await server.message();
    server.send(agreement);
  }
  await client.untilText('\r\n\r\n');
  server.socket.pause();
  server.socket.end();
  await client.untilEnd();
  await sendTooMuch(client, proxy);
  client.socket.end();
  await eventually(() => log.length === 1, 'the tunnel is over');
  const { stats } = proxy.dataPlane;
  await passTime(proxy, ALMOST_MS);
  expect(stats.upstreamCxActive).toBe(1);
  await passTime(proxy, REST_MS);
  await eventually(() => stats.upstreamCxActive === 0, 'the connection is left');
  expect(pathOf(proxy).slots.usedBytes).toBe(0);
});

it('a tunnel that goes on as CONNECT of HTTP/2', async () => {
  const cluster = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });
  const { proxy, upstream, log } = await startOneCluster({ routes: [ONWARD], hcm: UPGRADES, cluster });
  const client = await proxy.client();
  client.send(CONNECT);
  const server = await upstream.next();
  const frames = () => framesOf(server.received.slice(PREFACE.length));
  server.send(frame(SETTINGS, 0, 0));
  await server.until(() => frames().some(({ type }) => type === HEADERS), 'the request');
  server.send(Buffer.concat([head(1, [[':status', '200']], 0), frame(DATA, END_STREAM, 1)]));
  await client.untilEnd();
  // More than the server's window takes, and not so much that the proxy stops reading.
  client.socket.end(Buffer.alloc(65_535 + 60_000));
  await eventually(() => log.length === 1, 'the tunnel is over');
  const resets = () => frames().filter(({ type }) => type === RST_STREAM);
  await passTime(proxy, ALMOST_MS);
  expect(resets()).toEqual([]);
  await passTime(proxy, REST_MS);
  await server.until(() => resets().length === 1, 'the reset');
  expect(resetCode(server.received.slice(PREFACE.length), 1)).toBe(constants.NGHTTP2_CANCEL);
});
