// A response that ends with its connection must never look complete where it was cut: raw bytes, over TCP.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../testing/envoy-config.js';
import { startProxy, startUpstream } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';
import { resetKeeper } from '../transport/proxy-socket.js';

const CUTS: readonly [string, (socket: Socket) => void][] = [
  ['ends', (socket) => socket.end()],
  ['resets', (socket) => resetKeeper(socket)],
];

describe('a response to an HTTP/1.0 client, whose end is the end of the connection', () => {
  it.each(CUTS)('is reset, without an orderly end before, where the upstream %s in the middle', async (_name, cut) => {
    const upstream = await startUpstream();
    const proxy = await startProxy(
      dataPlaneConfig(
        [
          listener('l', [
            {
              filters: [
                connectionManager(anyHost(toCluster('c')), { http_protocol_options: { accept_http_10: true } }),
              ],
            },
          ]),
        ],
        [cluster('c', [endpointOf(upstream.port)])],
      ),
    );
    const client = connect({ port: proxy.port(), host: '127.0.0.1', allowHalfOpen: true });
    const seen: string[] = [];
    let bytes = '';
    client.on('data', (chunk: Buffer) => {
      bytes += chunk.toString('latin1');
    });
    client.on('end', () => seen.push('end'));
    client.on('error', (error: NodeJS.ErrnoException) => seen.push(error.code ?? error.message));
    await once(client, 'connect');
    client.write('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
    const served = await upstream.next();
    await served.message();
    served.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n');
    await eventually(() => bytes.endsWith('part'), 'the part at the client');
    expect(bytes).not.toMatch(/content-length|transfer-encoding/i);
    cut(served.socket as Socket);
    await eventually(() => client.closed, 'the client is cut off');
    expect(seen).toEqual(['ECONNRESET']);
  });
});
