// How many downstream connections there may be, how long each may live, and how it is closed.

import { expect, test, vi } from 'vitest';
import type { DataPlaneOptions } from '../data-plane.js';
import { anyHost, cluster, connectionManager, dataPlaneConfig, listener } from '../testing/envoy-config.js';
import { startProxy } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';
import { TimerWheel } from '../transport/timer-wheel.js';

const ANSWER = anyHost({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'here' } } });
const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

function start(hcm: Record<string, unknown> = {}, options: Partial<DataPlaneOptions> = {}) {
  const filterChains = [{ filters: [connectionManager(ANSWER, hcm)] }];
  return startProxy(
    dataPlaneConfig([listener('a', filterChains), listener('b', filterChains)], [cluster('c', [])]),
    options,
  );
}

test.each([
  ['over all listeners', { total: 2, ofListener: new Map() }, 'b'],
  ['of one listener', { total: 100, ofListener: new Map([['a', 2]]) }, 'a'],
] as const)('a limit %s closes what comes beyond, until one of them has left', async (_, connectionLimits, beyond) => {
  const { client, dataPlane } = await start({}, { connectionLimits });
  const held = [await client('a'), await client('a')];
  for (const each of held) {
    each.send(GET);
    expect((await each.message()).body).toBe('here');
  }
  const refused = await client(beyond);
  await refused.untilEnd();
  expect(refused.received).toBe('');
  expect(dataPlane.stats).toMatchObject({ downstreamCxTotal: 3, downstreamCxActive: 2, downstreamCxOverflow: 1 });
  held[0]?.socket.destroy();
  await eventually(() => dataPlane.stats.downstreamCxActive === 1, 'the connection has left');
  const taken = await client(beyond);
  taken.send(GET);
  expect((await taken.message()).body).toBe('here');
});

test('max_connection_duration ends a connection in order, also an idle one', async () => {
  const { client } = await start({ common_http_protocol_options: { max_connection_duration: '0.2s' } });
  const idle = await client('a');
  idle.send(GET);
  expect((await idle.message()).body).toBe('here');
  await idle.untilEnd();
});

test('a connection that has left leaves no timer behind', async () => {
  const schedule = vi.spyOn(TimerWheel.prototype, 'schedule');
  const { client, dataPlane } = await start({ common_http_protocol_options: { max_connection_duration: '3600s' } });
  const leaver = await client('a');
  leaver.send(GET);
  expect((await leaver.message()).body).toBe('here');
  const wheel = schedule.mock.contexts.at(-1) as TimerWheel;
  schedule.mockRestore();
  expect(wheel.size).toBeGreaterThan(0);
  leaver.socket.destroy();
  await eventually(() => dataPlane.stats.downstreamCxActive === 0, 'the connection has left');
  expect(wheel.size).toBe(0);
});

test.each([
  ['0s', true],
  ['3600s', false],
] as const)('delayed_close_timeout %s: a client that does not close is cut: %s', async (timeout, cut) => {
  const { client, dataPlane } = await start({ delayed_close_timeout: timeout });
  const lingering = await client('a');
  // Answered before the whole body came: the client may go on sending.
  lingering.send('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100\r\n\r\npart');
  expect((await lingering.message()).body).toBe('here');
  await lingering.untilEnd();
  if (cut) await eventually(() => dataPlane.stats.downstreamCxActive === 0, 'the connection is cut');
  else {
    // Many turns of the event loop later it is still there; our own end closes it.
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(dataPlane.stats.downstreamCxActive).toBe(1);
    lingering.socket.end();
    await eventually(() => dataPlane.stats.downstreamCxActive === 0, 'the connection has ended');
  }
});
