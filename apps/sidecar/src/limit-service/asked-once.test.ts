// A rate limit service is not asked twice about one request: what it counts would count double.

import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { RateLimitResponseSchema } from '@lateen/xds-proto/envoy/service/ratelimit/v3/rls_pb.js';
import { expect, it, onTestFinished } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  httpOptions,
  listener,
  toCluster,
} from '../testing/envoy-config.js';
import { bodyOf, startHttp2Upstream } from '../testing/http2-peers.js';
import { OK } from '../testing/limit-server.js';
import { filter, key } from '../testing/limited-proxy.js';
import { startProxy } from '../testing/proxy-fixture.js';

const ANSWER = toBinary(RateLimitResponseSchema, create(RateLimitResponseSchema, { overallCode: OK }));
const HTTP_2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });

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
    const head = Buffer.alloc(5);
    head.writeUInt32BE(ANSWER.length, 1);
    stream.end(Buffer.concat([head, ANSWER]));
  });
  limits.server.on('connection', (socket: Socket) => sockets.add(socket));
  const app = createServer((_request, response) => response.end('hello'));
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void app.close().closeAllConnections());
  const routes = anyHost(toCluster('app', { rate_limits: [key('one')] }));
  const proxy = await startProxy(
    dataPlaneConfig(
      [listener('l', [{ filters: [connectionManager(routes, {}, [filter()])] }])],
      [
        cluster('app', [endpointOf((app.address() as AddressInfo).port)]),
        cluster('limits', [endpointOf(limits.port)], HTTP_2),
      ],
    ),
  );
  for (const wanted of [1, 2, 3]) {
    const response = await fetch(`http://127.0.0.1:${proxy.port()}/`);
    expect(`${response.status} ${await response.text()}`).toBe('200 hello');
    expect(calls).toBe(wanted);
  }
  expect(proxy.dataPlane.limitServices()[0]).toMatchObject({ ok: 2, error: 1, failureModeAllowed: 1 });
});
