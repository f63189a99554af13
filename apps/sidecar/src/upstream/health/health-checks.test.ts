// Health checks over real connections: who is left out, for how long, and what is told of it.

import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttp2Server, type Http2Server } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../../testing/envoy-config.js';
import { startProxy } from '../../testing/proxy-fixture.js';
import { eventually } from '../../testing/raw-peers.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function listening(server: Server | Http2Server | TcpServer, port = 0): Promise<number> {
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** A server whose checks are answered with `status`; and what it was asked. */
async function startServer(status = 200) {
  const self = {
    port: 0,
    status,
    callStatus: 200,
    hang: false,
    checks: 0,
    calls: 0,
    heads: [] as string[],
    held: [] as (() => void)[],
    sockets: new Set<Socket>(),
  };
  const answer: RequestListener = (request, response) => {
    if (request.url !== '/healthz') {
      self.calls++;
      response.writeHead(self.callStatus).end();
      return;
    }
    self.checks++;
    const { host, 'user-agent': agent, 'x-probe': probe } = request.headers;
    self.heads.push(`${request.method} ${request.url} ${host} ${agent} ${probe}`);
    const reply = () => response.writeHead(self.status).end('well or not');
    if (self.hang) self.held.push(reply);
    else reply();
  };
  const server = createServer(answer);
  server.on('connection', (socket) => self.sockets.add(socket));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  self.port = await listening(server);
  return self;
}

const TIMES = { interval: '0.03s', timeout: '10s', no_traffic_interval: '0.03s' };
const ONCE = { ...TIMES, unhealthy_threshold: 1, healthy_threshold: 1 };
const HTTP = { http_health_check: { path: '/healthz' } };

function configOf(ports: readonly number[], check: object, more: object = {}) {
  return dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')))] }])],
    [
      cluster(
        'c',
        ports.map((port) => endpointOf(port)),
        { health_checks: [check], common_lb_config: { healthy_panic_threshold: {} }, ...more },
      ),
    ],
  );
}

async function start(ports: readonly number[], check: object, more: object = {}) {
  const logged: { readonly message: string; readonly fields: Record<string, unknown> }[] = [];
  const proxy = await startProxy(configOf(ports, check, more), {
    log: (_level, message, fields) => logged.push({ message, fields }),
  });
  const view = () => proxy.dataPlane.clusters().find(({ name }) => name === 'c')!;
  const failing = () => view().endpoints.map((endpoint) => endpoint.failing);
  const isFailing = (index = 0): boolean => failing()[index] === true;
  const warm = () => eventually(() => proxy.dataPlane.warmingClusters().length === 0, 'the first round is over');
  const ask = async () => {
    const client = await proxy.client();
    client.send(GET);
    const status = (await client.message()).head.slice(9, 12);
    client.socket.destroy();
    return status;
  };
  return { proxy, logged, view, failing, isFailing, warm, ask };
}

describe('checks by HTTP', () => {
  it('leave out an endpoint from its failure to its recovery, over one connection', async () => {
    const [good, bad] = [await startServer(), await startServer()];
    const { warm, failing, isFailing, ask, view, logged } = await start([good.port, bad.port], { ...ONCE, ...HTTP });
    await warm();
    expect(failing()).toEqual([false, false]);
    bad.status = 500;
    await eventually(() => isFailing(1), 'the endpoint fails');
    const before = bad.calls;
    for (let sent = 0; sent < 10; sent++) expect(await ask()).toBe('200');
    expect(bad.calls).toBe(before);
    bad.status = 200;
    await eventually(() => !isFailing(1), 'the endpoint is back');
    while (bad.calls === before) expect(await ask()).toBe('200');
    expect(view().health).toMatchObject({ healthy: 2, networkFailure: 0 });
    expect(view().health!.failure).toBeGreaterThan(0);
    const said = logged.filter(({ message }) => message.includes('healthy'));
    expect(said.map(({ message, fields }) => [message, fields.endpoint, fields.reason])).toEqual([
      ['an endpoint is unhealthy: it fails its health check', `127.0.0.1:${bad.port}`, 'it answered with status 500'],
      ['an endpoint is healthy again: it passes its health check', `127.0.0.1:${bad.port}`, undefined],
    ]);
    // One for its checks, and those of calls.
    await eventually(() => good.checks > 4, 'checks go on');
    expect(good.sockets.size).toBeLessThan(good.checks + good.calls);
  });

  it('send what is configured, to where the endpoint says', async () => {
    const server = await startServer(204);
    const config = dataPlaneConfig(
      [],
      [
        cluster(
          'c',
          [
            {
              endpoint: {
                address: { socket_address: { address: '127.0.0.1', port_value: 1 } },
                health_check_config: { port_value: server.port, hostname: 'own.example' },
              },
            },
          ],
          {
            health_checks: [
              {
                ...ONCE,
                http_health_check: {
                  path: '/healthz',
                  host: 'check.example',
                  method: 'HEAD',
                  expected_statuses: [{ start: 200, end: 300 }],
                  request_headers_to_add: [{ header: { key: 'X-Probe', value: '100%%' } }],
                },
              },
            ],
          },
        ),
      ],
    );
    const { dataPlane } = await startProxy(config);
    await eventually(() => server.checks > 1, 'it is asked twice');
    expect(server.heads[0]).toBe('HEAD /healthz own.example Envoy/HC 100%');
    expect(dataPlane.clusters()[0]!.endpoints[0]).toMatchObject({ failing: false });
    expect(server.sockets.size).toBe(1);
  });

  it('let an endpoint that is well again warm up again', async () => {
    const WINDOW_MS = 2_000;
    const [good, bad] = [await startServer(), await startServer()];
    const slowStart = { slow_start_window: `${WINDOW_MS / 1_000}s`, min_weight_percent: { value: 10 } };
    const { warm, isFailing, ask } = await start(
      [good.port, bad.port],
      { ...ONCE, ...HTTP },
      { lb_policy: 'ROUND_ROBIN', round_robin_lb_config: { slow_start_config: slowStart } },
    );
    await warm();
    const sinceMs = performance.now();
    bad.status = 500;
    await eventually(() => isFailing(1), 'the endpoint fails');
    await eventually(() => performance.now() - sinceMs > WINDOW_MS, 'the other one is warm');
    bad.status = 200;
    await eventually(() => !isFailing(1), 'the endpoint is back');
    for (let sent = 0; sent < 20; sent++) await ask();
    // Half of them, were both alike.
    expect(bad.calls).toBeLessThan(9);
  });

  it('try again where the server has closed the connection since the last check', async () => {
    let checks = 0;
    const server = createServer((_request, response) => {
      checks++;
      // It says that it keeps the connection, and cuts it when the next request comes.
      response.end();
      response.socket?.once('data', function (this: Socket) {
        this.destroy();
      });
    });
    closers.push(() => server.close());
    const port = await listening(server);
    const { warm, view } = await start([port], { ...ONCE, ...HTTP });
    await warm();
    await eventually(() => checks > 4, 'it is asked again and again');
    expect(view().health).toMatchObject({ healthy: 1, failure: 0 });
  });

  it('fail where no answer comes in time, and where nobody listens', async () => {
    const silent = await startServer();
    silent.hang = true;
    const gone = createTcpServer();
    const port = await listening(gone);
    await new Promise((resolve) => gone.close(resolve));
    const { warm, view, ask } = await start([silent.port, port], { ...ONCE, timeout: '0.2s', ...HTTP });
    await warm();
    const found = () => view().endpoints.map(({ failing, checkTimedOut }) => [failing, checkTimedOut]);
    await eventually(
      () =>
        isDeepStrictEqual(found(), [
          [true, true],
          [true, false],
        ]),
      'one is silent, one refuses',
    );
    expect(view().health).toMatchObject({ healthy: 0 });
    expect(view().health!.networkFailure).toBe(view().health!.failure);
    expect(await ask()).toBe('503');
  });

  it('let nobody in before the first round, whatever the panic threshold', async () => {
    const [slow, other] = [await startServer(500), await startServer()];
    slow.hang = true;
    const { ask, proxy, warm } = await start(
      [slow.port],
      { ...ONCE, timeout: '60s', ...HTTP },
      {
        common_lb_config: { healthy_panic_threshold: { value: 100 } },
      },
    );
    expect(proxy.dataPlane.warmingClusters()).toEqual(['c']);
    expect(await ask()).toBe('503');
    expect(slow.calls).toBe(0);
    await eventually(() => slow.held.length > 0, 'it is asked');
    for (const reply of slow.held) reply();
    await warm();
    // Now it is known to be unhealthy, and panic lets calls through.
    expect(await ask()).toBe('200');
    // A new endpoint of a cluster that is there does not count until it was asked, where the cluster says so.
    other.hang = true;
    const more = { common_lb_config: { healthy_panic_threshold: {}, ignore_new_hosts_until_first_hc: true } };
    await proxy.dataPlane.apply(configOf([slow.port, other.port], { ...ONCE, timeout: '60s', ...HTTP }, more));
    const views = () => proxy.dataPlane.clusters()[0]!.endpoints;
    expect(views().map(({ failing, unchecked }) => [failing, unchecked])).toEqual([
      [true, false],
      [true, true],
    ]);
  });

  it('keep what they know when endpoints and settings change, and stop with the cluster', async () => {
    const [first, second] = [await startServer(), await startServer(500)];
    const { proxy, warm, failing } = await start([first.port, second.port], { ...ONCE, ...HTTP });
    await warm();
    expect(failing()).toEqual([false, true]);
    const third = await startServer();
    third.hang = true;
    await proxy.dataPlane.apply(configOf([first.port, second.port, third.port], { ...ONCE, ...HTTP }));
    expect(failing()).toEqual([false, true, true]);
    await proxy.dataPlane.apply(configOf([first.port, second.port], { ...ONCE, interval: '0.02s', ...HTTP }));
    expect(failing()).toEqual([false, true]);
    await proxy.dataPlane.apply(configOf([first.port, second.port], {}, { health_checks: [] }));
    expect(failing()).toEqual([false, false]);
    const { checks } = first;
    // An endpoint that was in use without checks stays so until the first answer.
    first.hang = true;
    await proxy.dataPlane.apply(configOf([first.port], { ...ONCE, ...HTTP }));
    await eventually(() => first.checks > checks, 'it is asked');
    expect(failing()).toEqual([false]);
    await proxy.dataPlane.apply(dataPlaneConfig([], []));
    await eventually(() => [...first.sockets].every(({ destroyed }) => destroyed), 'its connections are closed');
  });

  it('take an ejected endpoint back where the cluster says so', async () => {
    const server = await startServer();
    for (const back of [false, true]) {
      const { warm, view, ask, proxy } = await start(
        [server.port],
        { ...ONCE, ...HTTP },
        {
          outlier_detection: {
            consecutive_5xx: 1,
            enforcing_success_rate: 0,
            max_ejection_percent: 100,
            successful_active_health_check_uneject_host: back,
          },
        },
      );
      await warm();
      server.callStatus = 503;
      expect(await ask()).toBe('503');
      const asked = server.checks;
      await eventually(() => server.checks > asked + 2, 'it was asked again');
      expect(view().endpoints[0]!.ejected).toBe(!back);
      server.callStatus = 200;
      if (back) expect(await ask()).toBe('200');
      await proxy.dataPlane.apply(dataPlaneConfig([], []));
    }
  });
});

describe('checks by gRPC', () => {
  /** Serves grpc.health.v1.Health/Check; answers with this serving status, or this status of gRPC. */
  async function startGrpc() {
    const self = { port: 0, serving: 1, grpcStatus: 0, asked: [] as string[] };
    const server = createHttp2Server();
    server.on('stream', (stream, headers) => {
      const body: Buffer[] = [];
      stream.on('error', () => {});
      stream.on('data', (bytes: Buffer) => body.push(bytes));
      stream.on('end', () => {
        const { ':method': method, ':path': path, ':authority': authority, 'content-type': type, te } = headers;
        self.asked.push(`${method} ${path} ${authority} ${type} ${te} ${Buffer.concat(body).toString('hex')}`);
        const answer = Buffer.from([0, 0, 0, 0, 2, 8, self.serving]);
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(self.grpcStatus) }));
        stream.end(self.grpcStatus === 0 ? answer : undefined);
      });
    });
    closers.push(() => server.close());
    server.on('session', (session) => closers.push(() => session.destroy()));
    self.port = await listening(server);
    return self;
  }

  it('ask Health/Check, and look at what it says', async () => {
    const server = await startGrpc();
    const { warm, failing, isFailing, view } = await start([server.port], {
      ...ONCE,
      grpc_health_check: { service_name: 'shop.Cart', authority: 'cart.example' },
    });
    await warm();
    expect(failing()).toEqual([false]);
    expect(server.asked[0]).toBe(
      `POST /grpc.health.v1.Health/Check cart.example application/grpc trailers 000000000b0a09${Buffer.from('shop.Cart').toString('hex')}`,
    );
    server.serving = 2;
    await eventually(() => isFailing(), 'NOT_SERVING is a failure');
    server.serving = 1;
    await eventually(() => !isFailing(), 'SERVING is none');
    server.grpcStatus = 12;
    await eventually(() => isFailing(), 'UNIMPLEMENTED is a failure');
    expect(view().health).toMatchObject({ networkFailure: 0 });
  });

  it('fail where HTTP/2 is not spoken', async () => {
    const server = await startServer();
    const { warm, failing } = await start([server.port], { ...ONCE, timeout: '0.5s', grpc_health_check: {} });
    await warm();
    expect(failing()).toEqual([true]);
  });
});

describe('checks by TCP', () => {
  it('are content with a connection, or with what comes over it', async () => {
    const self = { says: '+PONG\r\n' };
    const got: string[] = [];
    const server = createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (bytes) => {
        got.push(bytes.toString());
        socket.write(self.says);
      });
    });
    const port = await listening(server);
    closers.push(() => server.close());
    const hex = (text: string) => ({ text: Buffer.from(text).toString('hex') });
    const tcp = { send: hex('PING\r\n'), receive: [hex('+PONG'), hex('\r\n')] };
    const talking = await start([port], { ...ONCE, timeout: '0.5s', tcp_health_check: tcp });
    await talking.warm();
    expect(talking.failing()).toEqual([false]);
    expect(got[0]).toBe('PING\r\n');
    self.says = '-LOADING\r\n';
    await eventually(() => talking.isFailing(), 'another answer is a failure');
    const connecting = await start([port], { ...ONCE, tcp_health_check: {} });
    await connecting.warm();
    expect(connecting.failing()).toEqual([false]);
    server.close();
    await eventually(() => connecting.isFailing(), 'nobody listens any more');
  });
});
