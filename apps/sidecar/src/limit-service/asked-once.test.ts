// A rate limit service is not asked twice about one request: what it counts would count double.

import type { Socket } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { RateLimitResponseSchema } from '@lateen/xds-proto/envoy/service/ratelimit/v3/rls_pb.js';
import { expect, it } from 'vitest';
import { grpcMessage } from '../codec/grpc-message.js';
import { bodyOf, startHttp2Upstream } from '../testing/http2-peers.js';
import { OK } from '../testing/limit-server.js';
import { startAskingProxy } from '../testing/limited-proxy.js';

const ANSWER = toBinary(RateLimitResponseSchema, create(RateLimitResponseSchema, { overallCode: OK }));

it('where its connection is cut under a call', async () => {
  let calls = 0;
  const sockets = new Set<Socket>();
  const limits = await startHttp2Upstream(async (stream) => {
    calls++;
    await bodyOf(stream).catch(() => {});
    if (calls === 2) {
      // Without a word of what it has handled, as when the machine is gone.
      for (const socket of sockets) socket.destroy();
      return;
    }
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(grpcMessage(ANSWER));
  });
  limits.server.on('connection', (socket: Socket) => sockets.add(socket));
  const proxy = await startAskingProxy(limits.port);
  for (const wanted of [1, 2, 3]) {
    const response = await fetch(`http://127.0.0.1:${proxy.port()}/`);
    expect(`${response.status} ${await response.text()}`).toBe('200 hello');
    expect(calls).toBe(wanted);
  }
  expect(proxy.dataPlane.limitServices()[0]).toMatchObject({ ok: 2, error: 1, failureModeAllowed: 1 });
});
