// gRPC as the exchange sees it, whichever protocol carries it: answers of our own, retries by status, time limits, metrics.

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
import { ACCESS_LOG } from '../testing/one-cluster.js';
import { requestLog, startProxy, startUpstream } from '../testing/proxy-fixture.js';

const CALL = 'POST /pkg.Service/Method HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc+proto\r\n';
const STATS = {
  name: 'istio.stats',
  typed_config: {
    '@type': 'type.googleapis.com/udpa.type.v1.TypedStruct',
    type_url: 'type.googleapis.com/stats.PluginConfig',
    value: {},
  },
};

async function start(
  ports: readonly number[],
  route: Record<string, unknown> = {},
  routes?: Parameters<typeof connectionManager>[0],
) {
  const { requests, options } = requestLog();
  const hosts = routes ?? anyHost(toCluster('c', route));
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(hosts, ACCESS_LOG, [STATS])] }])],
    [
      cluster(
        'c',
        ports.map((port) => endpointOf(port)),
      ),
    ],
  );
  const proxy = await startProxy(config, options);
  return {
    proxy,
    log: requests,
    labels: () => [...proxy.dataPlane.metricSeries()].map(({ labels }) => labels),
  };
}
const answer = (status: number) =>
  `HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: ${status}\r\ncontent-length: 0\r\n\r\n`;

describe('gRPC', () => {
  it('gets answers of our own in its form: 200, and the status that belongs to the HTTP one', async () => {
    const gone = await startUpstream();
    await gone.stop();
    const { proxy, log, labels } = await start([gone.port]);
    const client = await proxy.client();
    client.send(`${CALL}Content-Length: 0\r\n\r\n`);
    const { head, body } = await client.message();
    expect(body).toBe('');
    expect(head).toMatch(
      /^HTTP\/1.1 200 OK\r\ncontent-length: 0\r\ncontent-type: application\/grpc\r\ngrpc-status: 14\r\n/,
    );
    expect(head).toContain(
      '\r\ngrpc-message: upstream connect error or disconnect/reset before headers. reset reason: ',
    );
    expect(log[0]).toMatchObject({ responseCode: 200, responseFlags: 'UF' });
    expect(labels()).toEqual([
      expect.objectContaining({ request_protocol: 'grpc', grpc_response_status: '14', response_code: '200' }),
    ]);
  });

  it('gets them from the routes too, and others get what they got', async () => {
    const reply = { match: { prefix: '/' }, direct_response: { status: 403, body: { inline_string: 'no 100%' } } };
    const { proxy, labels } = await start([], {}, { virtual_hosts: [{ name: 'v', domains: ['*'], routes: [reply] }] });
    const client = await proxy.client();
    client.send(`${CALL}Content-Length: 0\r\n\r\n`);
    expect((await client.message()).head).toContain('grpc-status: 7\r\ngrpc-message: no 100%25\r\n');
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n');
    expect(await client.message()).toMatchObject({ head: expect.stringMatching(/^HTTP\/1.1 403 /), body: 'no 100%' });
    expect(labels().map((each) => [each.request_protocol, each.grpc_response_status, each.response_code])).toEqual([
      ['grpc', '7', '200'],
      ['http', '', '403'],
    ]);
  });

  it('is tried again where the status of its head is one that the policy names', async () => {
    const upstream = await startUpstream();
    const { proxy, labels } = await start([upstream.port], {
      retry_policy: { retry_on: 'unavailable', num_retries: 1 },
    });
    const client = await proxy.client();
    client.send(`${CALL}Content-Length: 0\r\n\r\n`);
    const server = await upstream.next();
    await server.message();
    server.send(answer(14));
    const second = await upstream.next();
    await second.message();
    second.send(answer(5));
    expect((await client.message()).head).toContain('grpc-status: 5');
    expect(labels()).toEqual([expect.objectContaining({ grpc_response_status: '5' })]);
  });

  it('has the status of an HTTP answer that has none of its own', async () => {
    const upstream = await startUpstream();
    const { proxy, labels } = await start([upstream.port]);
    const client = await proxy.client();
    client.send(`${CALL}Content-Length: 0\r\n\r\n`);
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n');
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 404 /);
    expect(labels()).toEqual([expect.objectContaining({ grpc_response_status: '12', response_code: '404' })]);
  });

  it('has the time that grpc-timeout gives it, and tells the upstream', async () => {
    const upstream = await startUpstream();
    const { proxy, log } = await start([upstream.port], { timeout: '0s', max_grpc_timeout: '0s' });
    const client = await proxy.client();
    client.send(`${CALL}grpc-timeout: 100000u\r\nContent-Length: 0\r\n\r\n`);
    expect((await (await upstream.next()).message()).head).toContain('\r\ngrpc-timeout: 100m\r\n');
    expect((await client.message()).head).toContain('grpc-status: 14\r\ngrpc-message: upstream request timeout\r\n');
    expect(log[0]).toMatchObject({ responseFlags: 'UT' });
  });

  it('is told that its deadline is over where that is one of the stream', async () => {
    const upstream = await startUpstream();
    const { proxy, log } = await start([upstream.port], { max_stream_duration: { grpc_timeout_header_max: '0.1s' } });
    const client = await proxy.client();
    client.send(`${CALL}grpc-timeout: 5S\r\nContent-Length: 0\r\n\r\n`);
    expect((await client.message()).head).toContain('grpc-status: 4\r\ngrpc-message: downstream duration timeout\r\n');
    expect(log[0]).toMatchObject({
      responseCode: 200,
      responseFlags: '-',
      responseCodeDetails: 'max_duration_timeout',
    });
  });
});
