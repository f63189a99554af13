// A tunnel over a pool's connection tells that its end is out when everything before it is.

import { expect, it } from 'vitest';
import type { Endpoint } from '../upstream/endpoint.js';
import type { UpstreamRequest } from '../upstream/upstream-request.js';
import type { UpstreamStream } from '../upstream/upstream-stream.js';
import { PooledTunnel } from './pooled-tunnel.js';

/** An endpoint whose connection is there, and takes nothing until `settle`. */
function reluctantEndpoint() {
  let settled: (() => void) | undefined;
  const writer = {
    backedUp: false,
    writeBuffer() {},
    endMessage() {},
    whenSettled(callback: () => void) {
      settled = callback;
    },
  };
  const upstream = { writer, securityId: 0, localAddressText: '127.0.0.1:1', endTunnel() {}, leaveTunnel() {} };
  const endpoint = {
    transport: { tls: false },
    address: '127.0.0.1',
    port: 2,
    acquire: (request: UpstreamRequest) => request.onUpstreamReady(upstream as unknown as UpstreamStream),
  };
  return { endpoint: endpoint as unknown as Endpoint, settle: () => settled?.() };
}

it.each([
  ['CONNECT', undefined],
  ['POST', '/tunnel'],
])('by %s', async (_, postPath) => {
  const { endpoint, settle } = reluctantEndpoint();
  const owner = { onAsked() {}, onTunnelOpen() {}, onRead() {}, onEnd() {}, onClosed() {} };
  const tunnel = new PooledTunnel(endpoint, { target: 'x:1', postPath }, undefined, owner);
  tunnel.begin();
  tunnel.write(Buffer.from('last words'));
  let isOut = false;
  const out = new Promise<void>((resolve) =>
    tunnel.end(() => {
      isOut = true;
      resolve();
    }),
  );
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  expect(isOut).toBe(false);
  settle();
  await out;
});
