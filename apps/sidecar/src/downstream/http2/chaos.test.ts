// Nothing leaks: streams that end at any moment and in any way, of either version on either side, through two proxies.

import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Core } from '@lateen/filters-wasm';
import { expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  httpOptions,
  listener,
  toCluster,
} from '../../testing/envoy-config.js';
import { ask, http2Client, startHttp2Upstream } from '../../testing/http2-peers.js';
import { type ProxyFixture, startProxy } from '../../testing/proxy-fixture.js';
import { connectRaw, eventually } from '../../testing/raw-peers.js';

const ROUNDS = 10;
const CLIENTS = 12;

/** A random number generator with a seed, so that a failure can be repeated. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Answers, stalls, resets, leaves, as chance has it. */
function answer(stream: ServerHttp2Stream, random: () => number): void {
  const dice = random();
  if (dice < 0.3) {
    stream.respond({ ':status': 200 });
    stream.end('ok');
  } else if (dice < 0.45) {
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.alloc(Math.floor(random() * 400_000)));
  } else if (dice < 0.55) {
    stream.respond({ ':status': 200, 'content-length': '100' });
    stream.write('part');
    setTimeout(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR), random() * 10);
  } else if (dice < 0.65) stream.close(constants.NGHTTP2_REFUSED_STREAM);
  else if (dice < 0.7) stream.session?.goaway(constants.NGHTTP2_NO_ERROR, stream.id);
  else if (dice < 0.75) stream.session?.destroy();
  else if (dice < 0.85) stream.respond({ ':status': 204 }, { endStream: true });
  else if (dice < 0.95) {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  }
}

/** Several requests on one connection, some of which are given up. */
async function disturb(port: number, random: () => number): Promise<void> {
  if (random() < 0.25) {
    const client = await connectRaw(port);
    if (random() < 0.5) client.send(`POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`);
    else client.send('GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n');
    await pause(random() * 15);
    client.socket.destroy();
    return;
  }
  const session = http2Client(port, random() < 0.2 ? { settings: { initialWindowSize: 10 } } : {});
  for (let count = 1 + Math.floor(random() * 6); count > 0; count--) {
    if (session.destroyed || session.closed) break;
    const post = random() < 0.6;
    const stream = session.request({ ':path': '/', ':method': post ? 'POST' : 'GET' }, { endStream: !post });
    stream.on('error', () => {});
    if (random() < 0.7) stream.resume();
    if (post) {
      stream.write(Buffer.alloc(Math.floor(random() * 300_000)));
      if (random() < 0.8) stream.end('end');
    }
    if (random() < 0.3) setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), random() * 10);
  }
  await pause(random() * 20);
  session.destroy();
}

function slotsInUse({ dataPlane }: ProxyFixture): Record<string, number> {
  const { stats } = dataPlane;
  return {
    requests: stats.downstreamRqActive,
    blocks: stats.ringUsedBytes,
    pending: dataPlane.clusters().reduce((sum, { rqPending }) => sum + rqPending, 0),
    active: dataPlane
      .clusters()
      .reduce((sum, view) => sum + view.endpoints.reduce((all, each) => all + each.rqActive, 0), 0),
  };
}

const NOTHING = { requests: 0, blocks: 0, pending: 0, active: 0 };

it.each([
  ['http2', { explicit_http_config: { http2_protocol_options: {} } }],
  ["the client's version", { use_downstream_protocol_config: { http2_protocol_options: {} } }],
])(
  'gives everything back after any disturbance, and then still serves: %s between the proxies',
  async (_name, options) => {
    const random = createRandom(11);
    const app = await startHttp2Upstream((stream) => answer(stream, random));
    const route = {
      timeout: '0.3s',
      retry_policy: { retry_on: 'connect-failure,reset,refused-stream', num_retries: 1 },
    };
    const hop = (port: number, http: Record<string, unknown>) =>
      startProxy(
        dataPlaneConfig(
          [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c', route)))] }])],
          [cluster('c', [endpointOf(port)], httpOptions(http))],
        ),
      );
    const inner = await hop(app.port, { explicit_http_config: { http2_protocol_options: {} } });
    const outer = await hop(inner.port(), options);
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(Array.from({ length: CLIENTS }, () => disturb(outer.port(), random)));
    }
    for (const proxy of [outer, inner]) {
      await eventually(() => JSON.stringify(slotsInUse(proxy)) === JSON.stringify(NOTHING), 'nothing is in use').catch(
        () => {},
      );
      expect(slotsInUse(proxy)).toEqual(NOTHING);
    }
    await eventually(() => outer.dataPlane.stats.downstreamCxActive === 0, 'all clients are gone');
    for (const { dataPlane } of [outer, inner]) {
      const { core } = dataPlane as unknown as { readonly core: Core };
      const { upstreamCxActive, downstreamCxActive } = dataPlane.stats;
      // Connections that wait for their next request keep theirs.
      expect(core.chunkStates.used).toBeLessThanOrEqual(upstreamCxActive + downstreamCxActive);
      expect(core.h2Decoders.used).toBeLessThanOrEqual(upstreamCxActive + downstreamCxActive);
    }
    let served = 0;
    for (let attempt = 0; attempt < 60 && served < 3; attempt++) {
      const session = http2Client(outer.port());
      const { status } = await ask(session, { ':path': '/' }).catch(() => ({ status: 0 }));
      if (status === 200) served++;
      session.destroy();
    }
    expect(served).toBe(3);
  },
);
