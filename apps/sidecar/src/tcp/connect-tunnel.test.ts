// TCP inside of a tunnel that an upstream is asked for by CONNECT: its answers, in any pieces, and what becomes of refusals.

import { once } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AccessLogRecord } from '../data-plane.js';
import { cluster, dataPlaneConfig, endpointOf, httpOptions, listener } from '../testing/envoy-config.js';
import { ACCESS_LOG } from '../testing/one-cluster.js';
import { startProxy } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';
import { ConnectAnswer, TunnelRefused } from './connect-tunnel.js';
import { openClient, readAll, startTcpServer, tcpProxy } from './tcp-fixture.js';

const TARGET = 'far.example:5432';
const REQUEST = `CONNECT ${TARGET} HTTP/1.1\r\nhost: ${TARGET}\r\n\r\n`;

async function startTunnel(ports: readonly number[], extra: Record<string, unknown> = {}, proxy = {}) {
  const log: AccessLogRecord[] = [];
  const filter = tcpProxy({ cluster: 'c' }, { ...ACCESS_LOG, tunneling_config: { hostname: TARGET }, ...proxy });
  const endpoints = ports.map((port) => endpointOf(port));
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [filter] }])],
    [cluster('c', endpoints, { lb_policy: 'ROUND_ROBIN', ...extra })],
  );
  return { log, proxy: await startProxy(config, { createAccessLogSink: () => (record) => log.push(record) }) };
}

/** Answers CONNECT with these pieces, then sends back what it gets. */
function answering(...pieces: readonly string[]): Promise<number> {
  return startTcpServer((socket) => {
    socket.once('data', async (first) => {
      if (first.toString('latin1') !== REQUEST) {
        socket.destroy();
        return;
      }
      for (const piece of pieces) await new Promise((resolve) => socket.write(piece, 'latin1', resolve));
      socket.pipe(socket);
    });
  });
}

async function talk(port: number, text: string): Promise<string> {
  const socket = await openClient(port);
  const all = readAll(socket);
  socket.end(text);
  return (await all).toString('latin1');
}

describe('a TCP proxy with a tunnel', () => {
  it.each([
    ['in one piece', ['HTTP/1.1 200 OK\r\n\r\n'], ''],
    ['with what the target says behind it', ['HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\nready '], 'ready '],
    ['byte by byte', [...'HTTP/1.0 204 \r\nA: b\r\n\r\nready '], 'ready '],
    ['after an interim answer', ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\n\r\n'], ''],
  ])('is joined with the target once the answer is there: %s', async (_, pieces, first) => {
    const { proxy, log } = await startTunnel([await answering(...pieces)]);
    expect(await talk(proxy.port(), 'hello')).toBe(`${first}hello`);
    await eventually(() => log.length === 1, 'it is logged');
    expect(log[0]).toMatchObject({ bytesReceived: 5, bytesSent: 5 + first.length });
  });

  it.each([
    ['refuses', ['HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n'], '403'],
    ['speaks something else', ['hello from a server\r\n\r\n'], 'not HTTP/1'],
    ['never ends its answer', [`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(70_000)}`], 'too large'],
  ])('closes where the upstream %s, and says why', async (_, pieces, why) => {
    const { proxy, log } = await startTunnel([await answering(...pieces)]);
    const socket = await openClient(proxy.port());
    socket.on('error', () => {});
    socket.write('hello');
    await once(socket.resume(), 'end');
    await eventually(() => log.length === 1, 'it is logged');
    expect(log[0]?.upstreamTransportFailureReason).toContain(why);
    expect(log[0]?.responseFlags).toContain('UF');
  });

  it('tries another endpoint after a refusal, where it may', async () => {
    const ports = [await answering('HTTP/1.1 503 No\r\n\r\n'), await answering('HTTP/1.1 200 OK\r\n\r\n')];
    const { proxy } = await startTunnel(ports, {}, { max_connect_attempts: 2 });
    for (let count = 0; count < 4; count++) expect(await talk(proxy.port(), 'hello')).toBe('hello');
  });

  it('waits for the answer no longer than for a connection', async () => {
    const { proxy, log } = await startTunnel([await startTcpServer(() => {})], { connect_timeout: '0.2s' });
    const socket = await openClient(proxy.port());
    socket.on('error', () => {});
    await once(socket.resume(), 'end');
    await eventually(() => log.length === 1, 'it is logged');
  });

  it('does not ask a cluster of HTTP/2', async () => {
    const http2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });
    const { proxy, log } = await startTunnel([await answering('HTTP/1.1 200 OK\r\n\r\n')], http2);
    const socket = await openClient(proxy.port());
    socket.on('error', () => {});
    await once(socket.resume(), 'end');
    await eventually(() => log.length === 1, 'it is logged');
    expect(log[0]?.upstreamTransportFailureReason).toContain('HTTP/2');
  });
});

describe('ConnectAnswer', () => {
  it('says the same however the bytes are cut', () => {
    const answers = fc.constantFrom(
      'HTTP/1.1 200 OK\r\n\r\nrest',
      'HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 299 \r\n\r\n',
      'HTTP/1.1 101 Switching Protocols\r\n\r\n',
      'HTTP/1.1 302 Found\r\n\r\n',
      'no answer\r\n\r\n',
    );
    const read = (text: string, step: number): string | undefined => {
      const answer = new ConnectAnswer();
      try {
        for (let at = 0; at < text.length; at += step) {
          const rest = answer.add(Buffer.from(text.slice(at, at + step), 'latin1'));
          if (rest !== undefined) return rest.toString('latin1') + text.slice(at + step);
        }
      } catch (error) {
        if (error instanceof TunnelRefused) return `refused: ${error.message}`;
        throw error;
      }
      return undefined;
    };
    fc.assert(
      fc.property(answers, fc.integer({ min: 1, max: 20 }), (text, step) => {
        expect(read(text, step)).toBe(read(text, text.length));
      }),
    );
  });
});
