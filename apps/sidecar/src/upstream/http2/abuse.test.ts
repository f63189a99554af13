// Servers that break HTTP/2's rules, or keep to them in a way that only costs the proxy: their connection ends, others go on.

import { describe, expect, it } from 'vitest';
import { httpOptions } from '../../testing/envoy-config.js';
import { startOneCluster } from '../../testing/one-cluster.js';
import {
  block,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  framesOf,
  GOAWAY,
  goawayCode,
  HEADERS,
  PING,
  PREFACE,
  PRIORITY,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  uint32,
  WINDOW_UPDATE,
} from '../../testing/raw-http2.js';
import { eventually, type RawConnection } from '../../testing/raw-peers.js';

const HTTP_2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });
const OK = [[':status', '200']] as const;

/** A client of HTTP/1.1 whose request has come to a server that has said its settings and nothing else. */
async function asked() {
  const { proxy, upstream, log } = await startOneCluster({ cluster: HTTP_2 });
  const client = await proxy.client();
  client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  const server = await upstream.next();
  server.send(frame(SETTINGS, 0, 0));
  const sent = () => framesOf(server.received.slice(PREFACE.length));
  await server.until(() => sent().some(({ type }) => type === HEADERS), 'the request');
  return { proxy, upstream, client, server, log, sent };
}

/** What the proxy says last, after which it leaves. */
async function codeOf(server: RawConnection): Promise<number> {
  await server.untilEnd();
  return goawayCode(server.received.slice(PREFACE.length));
}

const head = (fields: readonly (readonly [string, string])[], flags = 0) =>
  frame(HEADERS, END_HEADERS | flags, 1, block(fields));
const many = (count: number, one: Buffer) => Buffer.concat(Array.from({ length: count }, () => one));

describe('servers that break the rules', () => {
  const cases: readonly (readonly [string, Buffer, number])[] = [
    ['a push', frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([uint32(2), block(OK)])), 1],
    ['a head of a stream that nobody opened', frame(HEADERS, END_HEADERS, 3, block(OK)), 1],
    ['DATA of a stream that nobody opened', frame(DATA, 0, 7, [1]), 1],
    ['a window update of nothing', frame(WINDOW_UPDATE, 0, 0, uint32(0)), 1],
    ['a window that is too large', frame(WINDOW_UPDATE, 0, 0, uint32(2 ** 31 - 1)), 3],
    ['a frame that is too large', frame(DATA, 0, 1, Buffer.alloc(16_385)), 6],
    ['a head that cannot be decoded', frame(HEADERS, END_HEADERS, 1, [0xff, 0xff, 0xff, 0xff, 0xff]), 9],
    ['HTTP/1.1', Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'), 6],
  ];
  it.each(cases)('are left, and the client is told: %s', async (_what, bytes, code) => {
    const { client, server } = await asked();
    server.send(bytes);
    expect((await client.message()).head).toMatch(/^HTTP\/1\.1 50[23] /);
    expect(await codeOf(server)).toBe(code);
  });

  const ofStream: readonly (readonly [string, Buffer])[] = [
    ['DATA before a head', frame(DATA, 0, 1, [1])],
    ['a head without a status', head([['x', 'y']])],
    ['a status that is none', head([[':status', '99']])],
    ['a name in upper case', head([...OK, ['X-Y', 'z']])],
    ['a line break in a value', head([...OK, ['x', 'a\r\nb: c']])],
    ['a header of the connection', head([...OK, ['connection', 'close']])],
    ['a length that is not kept', Buffer.concat([head([...OK, ['content-length', '9']], END_STREAM)])],
  ];
  it.each(ofStream)('lose their stream at least: %s', async (_what, bytes) => {
    const { client, server, sent } = await asked();
    server.send(bytes);
    await client.until(({ received, ended }) => ended || received.includes('\r\n\r\n'), 'an answer or the end');
    // Whatever had been written of a head: no smuggled line, and no answer that looks whole.
    expect(client.received).not.toMatch(/\r\nb: c/);
    if (!client.ended && / 200 /.test(client.received.slice(0, 15))) await client.untilEnd();
    else if (!client.ended) expect(client.received).toMatch(/^HTTP\/1\.1 50[23] /);
    await server.until(
      ({ ended }) =>
        ended ||
        sent().some(({ type, streamId }) => type === RST_STREAM && streamId === 1) ||
        sent().some(({ type }) => type === GOAWAY),
      'the end of the stream',
    );
  });
});

describe('floods of servers', () => {
  const floods: readonly (readonly [string, string, Buffer])[] = [
    ['PING', 'outbound_control_flood', many(400_000, frame(PING, 0, 0, Buffer.alloc(8)))],
    ['PRIORITY', 'inbound_priority_frames_flood', many(1000, frame(PRIORITY, 0, 1, [0, 0, 0, 0, 1]))],
    ['WINDOW_UPDATE', 'inbound_window_update_frames_flood', many(1000, frame(WINDOW_UPDATE, 0, 1, uint32(1)))],
    ['empty frames', 'inbound_empty_frames_flood', Buffer.concat([head(OK), many(100, frame(DATA, 0, 1))])],
    [
      'CONTINUATION',
      'inbound_continuation_flood',
      Buffer.concat([frame(HEADERS, 0, 1, block(OK)), many(50, frame(CONTINUATION, 0, 1, block([['a', 'b']])))]),
    ],
  ];
  it.each(floods)('of %s end their connection, and the next one serves', async (_what, flood, bytes) => {
    const { proxy, upstream, client, server } = await asked();
    server.socket.on('error', () => {});
    // The answers are not read, so that they pile up.
    server.socket.pause();
    server.send(bytes);
    const { stats } = proxy.dataPlane;
    await eventually(() => Object.keys(stats.http2Floods).length > 0, 'the flood is noticed');
    expect(Object.keys(stats.http2Floods)).toEqual([flood]);
    server.socket.resume();
    await server.untilEnd();
    await client.until(({ received, ended }) => ended || received.includes('\r\n\r\n'), 'an answer or the end');
    const next = await proxy.client();
    next.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const other = await upstream.next();
    other.send(
      Buffer.concat([
        frame(SETTINGS, 0, 0),
        head([...OK, ['content-length', '2']]),
        frame(DATA, END_STREAM, 1, Buffer.from('ok')),
      ]),
    );
    expect((await next.message()).body).toBe('ok');
  });
});

describe('servers that stand still', () => {
  it('hold a request no longer than its time-out', async () => {
    const { proxy, upstream } = await startOneCluster({ cluster: HTTP_2, route: { timeout: '0.2s' } });
    const client = await proxy.client();
    client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const server = await upstream.next();
    server.send(Buffer.concat([frame(SETTINGS, 0, 0), frame(HEADERS, 0, 1, block(OK))]));
    expect((await client.message()).head).toMatch(/^HTTP\/1\.1 504 /);
    await eventually(
      () => framesOf(server.received.slice(PREFACE.length)).some(({ type }) => type === RST_STREAM),
      'the stream is reset',
    );
  });
});
