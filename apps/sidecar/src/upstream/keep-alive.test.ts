// Upstream: TCP keep-alive and the age of connections toward endpoints.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { startOneCluster } from '../testing/one-cluster.js';
import { eventually } from '../testing/raw-peers.js';

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

/** Of Linux's table of sockets: the timers of connections to a port; 02 is keep-alive, 00 none. */
function timersToward(port: number): string[] {
  const remote = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , peer, state]) => peer?.endsWith(remote) && state === '01')
    .map((columns) => columns[5]!.slice(0, 2));
}

describe.skipIf(process.platform !== 'linux')('tcp_keepalive', () => {
  test.each([
    [{}, '00'],
    [{ upstream_connection_options: { tcp_keepalive: { keepalive_time: 30 } } }, '02'],
  ])('of %j makes the timer %s of an idle connection', async (cluster, timer) => {
    const { proxy, upstream } = await startOneCluster({ cluster });
    const client = await proxy.client();
    client.send(GET);
    const server = await upstream.next();
    await server.until(({ received }) => received.includes('\r\n\r\n'));
    server.send(OK);
    await client.message();
    // Until what was sent is acknowledged another timer runs.
    await eventually(() => timersToward(upstream.port).join() === timer, `timer ${timer}`);
  });
});

test('max_connection_duration closes an idle connection, and one in use after its response', async () => {
  const { proxy, upstream } = await startOneCluster({
    cluster: { common_http_protocol_options: { max_connection_duration: '0.2s' } },
  });
  const client = await proxy.client();
  client.send(GET);
  const first = await upstream.next();
  await first.until(({ received }) => received.includes('\r\n\r\n'));
  first.send(OK);
  await client.message();
  await eventually(() => first.ended, 'the end of the idle connection');
  client.send(GET);
  const second = await upstream.next();
  await second.until(({ received }) => received.includes('\r\n\r\n'));
  await new Promise((resolve) => setTimeout(resolve, 300)); // its age passes while it is in use
  second.send(OK);
  expect((await client.message()).head).toContain('200 OK');
  await eventually(() => second.ended, 'the end of the connection that was in use');
});
