// Clients that break HTTP/2's rules, or keep to them in a way that only costs the server.

import { describe, expect, it } from 'vitest';
import { startOneCluster } from '../../testing/one-cluster.js';
import {
  block,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  framesOf,
  GET,
  GOAWAY,
  goawayCode,
  HEADERS,
  head,
  opening,
  PING,
  POST,
  PRIORITY,
  PUSH_PROMISE,
  RST_STREAM,
  resetCode,
  SETTINGS,
  uint32,
  untilFrame,
  WINDOW_UPDATE,
} from '../../testing/raw-http2.js';
import { eventually, type RawConnection } from '../../testing/raw-peers.js';

const PROTOCOL_ERROR = 1;
const FLOW_CONTROL_ERROR = 3;
const STREAM_CLOSED = 5;
const FRAME_SIZE_ERROR = 6;
const REFUSED_STREAM = 7;
const COMPRESSION_ERROR = 9;
const ENHANCE_YOUR_CALM = 11;

const DIRECT = {
  routes: [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'ok' } } }],
};

type Options = Parameters<typeof startOneCluster>[0];

async function open(options: Options = {}, ...settings: (readonly [number, number])[]) {
  const set = await startOneCluster(options);
  const client = await set.proxy.client();
  client.send(opening(...settings));
  return { ...set, client };
}

async function untilGoaway(client: RawConnection): Promise<number> {
  await client.until(({ received, ended }) => ended || goawayCode(received) >= 0, 'GOAWAY');
  // Whoever is told ends his side, and need not wait.
  client.socket.end();
  await client.untilEnd();
  return goawayCode(client.received);
}

describe('frames that break the rules', () => {
  const oddHead = block(GET);
  const cases: readonly (readonly [string, Buffer, number])[] = [
    ['a stream with an even number', head(2), PROTOCOL_ERROR],
    ['a head without a stream', frame(HEADERS, END_HEADERS, 0, oddHead), PROTOCOL_ERROR],
    ['a stream below the last', Buffer.concat([head(5), head(3)]), STREAM_CLOSED],
    ['DATA before a head', frame(DATA, 0, 1, [1]), PROTOCOL_ERROR],
    ['DATA without a stream', frame(DATA, 0, 0, [1]), PROTOCOL_ERROR],
    ['a reset before a head', frame(RST_STREAM, 0, 1, uint32(8)), PROTOCOL_ERROR],
    ['a window update before a head', frame(WINDOW_UPDATE, 0, 1, uint32(1)), PROTOCOL_ERROR],
    ['a window update of nothing', frame(WINDOW_UPDATE, 0, 0, uint32(0)), PROTOCOL_ERROR],
    ['a window that is too large', frame(WINDOW_UPDATE, 0, 0, uint32(2 ** 31 - 1)), FLOW_CONTROL_ERROR],
    ['CONTINUATION without a head', frame(CONTINUATION, END_HEADERS, 1, oddHead), PROTOCOL_ERROR],
    [
      'a head that another frame interrupts',
      Buffer.concat([frame(HEADERS, 0, 1, oddHead), frame(PING, 0, 0, Buffer.alloc(8))]),
      PROTOCOL_ERROR,
    ],
    ['PUSH_PROMISE', frame(PUSH_PROMISE, END_HEADERS, 1, oddHead), PROTOCOL_ERROR],
    ['a frame that is too large', frame(DATA, 0, 1, Buffer.alloc(16_385)), FRAME_SIZE_ERROR],
    ['PING of a wrong size', frame(PING, 0, 0, [1]), FRAME_SIZE_ERROR],
    ['SETTINGS of a wrong size', frame(SETTINGS, 0, 0, [1]), FRAME_SIZE_ERROR],
    ['SETTINGS with a wrong value', frame(SETTINGS, 0, 0, [0, 2, 0, 0, 0, 2]), PROTOCOL_ERROR],
    ['SETTINGS with a window that is too large', frame(SETTINGS, 0, 0, [0, 4, 255, 0, 0, 0]), FLOW_CONTROL_ERROR],
    ['more padding than bytes', frame(HEADERS, END_HEADERS | 8, 1, [200, 0]), PROTOCOL_ERROR],
    ['a stream that depends on itself', frame(HEADERS, END_HEADERS | 32, 1, [0, 0, 0, 1, 0, 0x82]), PROTOCOL_ERROR],
    ['a header block that cannot be decoded', frame(HEADERS, END_HEADERS, 1, [0xff, 0xff, 0xff]), COMPRESSION_ERROR],
    [
      'a head without a path',
      head(
        1,
        GET.filter(([name]) => name !== ':path'),
      ),
      PROTOCOL_ERROR,
    ],
    ['a connection header', head(1, [...GET, ['connection', 'close']]), PROTOCOL_ERROR],
    ['an upper-case name', head(1, [...GET, ['X-Upper', '1']]), PROTOCOL_ERROR],
    ['a line end in a value', head(1, [...GET, ['x', 'a\r\nhost: b']]), PROTOCOL_ERROR],
    [
      'a body that is longer than it says',
      Buffer.concat([head(1, [...POST, ['content-length', '1']], 0), frame(DATA, END_STREAM, 1, [1, 2])]),
      PROTOCOL_ERROR,
    ],
    [
      'a body that is shorter than it says',
      Buffer.concat([head(1, [...POST, ['content-length', '3']], 0), frame(DATA, END_STREAM, 1, [1, 2])]),
      PROTOCOL_ERROR,
    ],
    [
      'trailers that do not end the stream',
      Buffer.concat([head(1, POST, 0), frame(HEADERS, END_HEADERS, 1, block([['x', 'y']]))]),
      PROTOCOL_ERROR,
    ],
  ];

  it.each(cases)('end the connection: %s', async (_what, bytes, code) => {
    const { client, proxy } = await open();
    client.send(bytes);
    expect(await untilGoaway(client)).toBe(code);
    expect(proxy.dataPlane.stats.http2ConnectionErrors).toBe(1);
    await eventually(() => proxy.dataPlane.stats.downstreamCxActive === 0, 'the connection is gone');
    expect(proxy.dataPlane.stats.downstreamRqActive).toBe(0);
  });

  it('end only their stream where the listener says so', async () => {
    const { client } = await open({
      ...DIRECT,
      hcm: { http2_protocol_options: { override_stream_error_on_invalid_http_message: true } },
    });
    client.send(head(1, [...GET, ['connection', 'close']]));
    client.send(head(3));
    await untilFrame(client, ({ type, streamId }) => type === HEADERS && streamId === 3, 'the answer');
    expect(resetCode(client.received, 1)).toBe(PROTOCOL_ERROR);
    expect(goawayCode(client.received)).toBe(-1);
  });

  it('are the first not to be SETTINGS', async () => {
    const { proxy } = await startOneCluster();
    const client = await proxy.client();
    client.send(Buffer.concat([opening().subarray(0, 24), frame(PING, 0, 0, Buffer.alloc(8))]));
    expect(await untilGoaway(client)).toBe(PROTOCOL_ERROR);
  });

  it('of unknown types are ignored', async () => {
    const { client } = await open(DIRECT);
    client.send(Buffer.concat([frame(99, 255, 7, Buffer.alloc(100)), head(1)]));
    await untilFrame(client, ({ type }) => type === DATA, 'the answer');
  });

  it('break a window: the connection for its own, the stream for that of the stream', async () => {
    const window = { initial_stream_window_size: 65_535, initial_connection_window_size: 200_000 };
    const { client, upstream } = await open({ hcm: { http2_protocol_options: window } });
    // Nobody reads at the upstream, so no room is given back for long enough.
    client.send(head(1, POST, 0));
    (await upstream.next()).socket.pause();
    client.send(
      Buffer.concat([head(3, POST, 0), ...Array.from({ length: 5 }, () => frame(DATA, 0, 3, Buffer.alloc(16_384)))]),
    );
    await untilFrame(client, ({ type }) => type === RST_STREAM, 'the reset');
    expect(resetCode(client.received, 3)).toBe(FLOW_CONTROL_ERROR);
  });
});

describe('more than is allowed', () => {
  it('streams at a time are refused', async () => {
    const { client, upstream } = await open({ hcm: { http2_protocol_options: { max_concurrent_streams: 2 } } });
    client.send(Buffer.concat([head(1), head(3), head(5)]));
    await untilFrame(client, ({ type }) => type === RST_STREAM, 'the refusal');
    expect(resetCode(client.received, 5)).toBe(REFUSED_STREAM);
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    await untilFrame(client, ({ type, flags }) => type === HEADERS && (flags & END_STREAM) !== 0, 'the answer');
    client.send(head(7));
    await (await upstream.next()).message().catch(() => {});
  });

  it.each([
    ['GET', GET],
    ['HEAD', [[':method', 'HEAD'], ...GET.slice(1)] as typeof GET],
  ])('bytes of a head are answered 431, and the connection goes on: %s', async (method, fields) => {
    const { client } = await open(DIRECT);
    const large = Array.from({ length: 5 }, (_, index) => [`x-${index}`, 'v'.repeat(13_000)] as const);
    const bytes = block([...fields, ...large]);
    client.send(frame(HEADERS, END_STREAM, 1, bytes.subarray(0, 16_000)));
    for (let at = 16_000; at < bytes.length; at += 16_000) {
      const last = at + 16_000 >= bytes.length;
      client.send(frame(CONTINUATION, last ? END_HEADERS : 0, 1, bytes.subarray(at, at + 16_000)));
    }
    client.send(head(3));
    await untilFrame(client, ({ type, streamId }) => type === DATA && streamId === 3, 'the second answer');
    const answer = framesOf(client.received).find(({ type, streamId }) => type === HEADERS && streamId === 1);
    expect(answer?.payload.toString('latin1')).toContain('431');
    const bodies = framesOf(client.received).filter(({ type, streamId }) => type === DATA && streamId === 1);
    expect(bodies.map(({ payload }) => payload.length > 0)).toEqual(method === 'HEAD' ? [] : [true]);
  });

  it('fields that refer to a large one (a HPACK bomb) are answered 431 or end the connection', async () => {
    const { client, proxy } = await open(DIRECT);
    const big = Buffer.concat([
      block(GET),
      // With indexing: the value goes to the table, from where each further byte names all of it.
      Buffer.from([0x40, 1, 0x78, 127, 0xa1, 30]),
      Buffer.alloc(4000, 0x61),
      Buffer.alloc(10_000, 0xbe),
    ]);
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, big));
    await client.until(
      ({ received, ended }) => ended || framesOf(received).some(({ type }) => type === HEADERS),
      'an end',
    );
    const code = goawayCode(client.received);
    expect([-1, ENHANCE_YOUR_CALM, COMPRESSION_ERROR]).toContain(code);
    expect(proxy.dataPlane.stats.downstreamRq2xx).toBe(0);
  });
});

describe('floods', () => {
  async function flood(bytes: Buffer, options: Options = DIRECT): Promise<string> {
    const { client, proxy } = await open(options);
    client.socket.on('error', () => {});
    // What comes back is not read, so that answers pile up where the other side allows it.
    client.socket.pause();
    client.send(bytes);
    const { stats } = proxy.dataPlane;
    await eventually(() => Object.keys(stats.http2Floods).length > 0, 'the flood is noticed');
    client.socket.resume();
    await client.untilEnd();
    return Object.keys(stats.http2Floods).join();
  }

  it('of resets', async () => {
    const pairs = Array.from({ length: 1000 }, (_, index) => [
      head(2 * index + 1),
      frame(RST_STREAM, 0, 2 * index + 1, uint32(8)),
    ]);
    expect(await flood(Buffer.concat(pairs.flat()), {})).toBe('premature_resets');
  });

  it('of CONTINUATION', async () => {
    const parts = Array.from({ length: 20 }, () => frame(CONTINUATION, 0, 1, [0x82]));
    expect(await flood(Buffer.concat([frame(HEADERS, 0, 1, block(GET)), ...parts]))).toBe('inbound_continuation_flood');
  });

  it('of PING and SETTINGS whose answers are not read', async () => {
    const pings = Buffer.concat(Array.from({ length: 400_000 }, () => frame(PING, 0, 0, Buffer.alloc(8))));
    expect(await flood(pings)).toBe('outbound_control_flood');
    const settings = Buffer.concat(Array.from({ length: 700_000 }, () => frame(SETTINGS, 0, 0)));
    expect(await flood(settings)).toBe('outbound_control_flood');
  }, 60_000);

  it('of empty frames', async () => {
    expect(await flood(Buffer.concat([head(1, POST, 0), ...Array(5).fill(frame(DATA, 0, 1))]), {})).toBe(
      'inbound_empty_frames_flood',
    );
    const empty = [frame(HEADERS, 0, 1), ...Array(5).fill(frame(CONTINUATION, 0, 1))];
    expect(await flood(Buffer.concat(empty))).toBe('inbound_empty_frames_flood');
  });

  it('of PRIORITY and of WINDOW_UPDATE', async () => {
    expect(await flood(Buffer.concat(Array(200).fill(frame(PRIORITY, 0, 1, [0, 0, 0, 0, 1]))))).toBe(
      'inbound_priority_frames_flood',
    );
    expect(await flood(Buffer.concat(Array(200).fill(frame(WINDOW_UPDATE, 0, 0, uint32(1)))))).toBe(
      'inbound_window_update_frames_flood',
    );
  });

  it('are none where the answers are read', async () => {
    const { client, proxy } = await open(DIRECT);
    for (let round = 0; round < 20; round++) {
      client.received = '';
      client.send(Buffer.concat(Array.from({ length: 500 }, () => frame(PING, 0, 0, Buffer.alloc(8)))));
      await client.until(({ received }) => received.length >= 500 * 17, 'the answers');
    }
    expect(proxy.dataPlane.stats.http2Floods).toEqual({});
  });
});

describe('clients that stand still', () => {
  it('do not take their answer: the stream is reset, and the upstream was not read to its end', async () => {
    const { client, upstream, log } = await open({ hcm: { stream_idle_timeout: '0.5s' } }, [4, 0]);
    client.send(head(1));
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n');
    server.send(Buffer.alloc(50_000_000));
    await untilFrame(client, ({ type }) => type === RST_STREAM, 'the reset');
    await eventually(() => log.length === 1, 'the request is logged');
    expect(log[0]).toMatchObject({ responseFlags: 'SI' });
    expect(log[0]!.bytesSent).toBeLessThan(1_000_000);
    expect(goawayCode(client.received)).toBe(-1);
  });

  it('do not take a small answer that is complete', async () => {
    const { client } = await open({ ...DIRECT, hcm: { stream_idle_timeout: '0.5s' } }, [4, 0]);
    client.send(head(1));
    await untilFrame(client, ({ type }) => type === RST_STREAM, 'the reset');
    expect(framesOf(client.received).some(({ type }) => type === DATA)).toBe(false);
  });

  it('do not end their head, or their body, or say nothing at all', async () => {
    const { client } = await open({ hcm: { request_headers_timeout: '0.3s' } });
    client.send(frame(HEADERS, END_STREAM, 1, block(GET)));
    expect(await untilGoaway(client)).toBe(ENHANCE_YOUR_CALM);
    const { client: slow } = await open({ hcm: { request_timeout: '0.3s' } });
    slow.send(head(1, POST, 0));
    const answer = await untilFrame(slow, ({ type }) => type === HEADERS, 'the answer');
    expect(answer.payload.toString('latin1')).toContain('408');
    const { client: idle } = await open({ hcm: { common_http_protocol_options: { idle_timeout: '0.3s' } } });
    await idle.until(({ received }) => framesOf(received).some(({ type }) => type === GOAWAY), 'GOAWAY');
    expect(goawayCode(idle.received)).toBe(0);
  });

  it('do not answer PINGs: the connection ends', async () => {
    const keepalive = { interval: '0.2s', timeout: '0.2s', interval_jitter: { value: 0 } };
    const { client } = await open({ hcm: { http2_protocol_options: { connection_keepalive: keepalive } } });
    await untilFrame(client, ({ type }) => type === PING, 'a PING');
    await client.untilEnd();
    expect(goawayCode(client.received)).toBe(0);
  });
});
