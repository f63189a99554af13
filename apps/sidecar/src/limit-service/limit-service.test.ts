// A rate limit service: what its answers do, and what happens where it gives none.

import { describe, expect, it } from 'vitest';
import { anyHost, toCluster } from '../testing/envoy-config.js';
import { OK, OVER_LIMIT } from '../testing/limit-server.js';
import { ALL, FILTERS, fault, filter, host, key, startLimitedProxy } from '../testing/limited-proxy.js';
import { pathOf } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';

const ONE = anyHost(toCluster('app', { rate_limits: [key('one')] }));

describe('an answer', () => {
  it('adds headers both ways, and tells the tightest limit where that is asked for', async () => {
    const { ask, limits, received, counts } = await startLimitedProxy(ONE, [
      filter({ enable_x_ratelimit_headers: 'DRAFT_VERSION_03' }),
    ]);
    limits.answer = () => ({
      overallCode: OK,
      requestHeadersToAdd: [
        { key: 'X-Plan', value: 'gold' },
        { key: 'content-length', value: '9999' },
        { key: 'x-evil', value: 'a\r\nx-injected: 1' },
      ],
      responseHeadersToAdd: [{ key: 'x-left', value: '7' }],
      statuses: [
        {
          code: OK,
          currentLimit: { requestsPerUnit: 10, unit: 1 },
          limitRemaining: 8,
          durationUntilReset: { seconds: 1n },
        },
        {
          code: OK,
          currentLimit: { requestsPerUnit: 100, unit: 2, name: 'm' },
          limitRemaining: 5,
          durationUntilReset: { seconds: 30n },
        },
        { code: OK },
      ],
    });
    const { status, headers } = await ask('/', { 'x-mine': 'kept' }, 'a body');
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'x-left': '7',
      'x-app': 'yes',
      'x-ratelimit-limit': '100, 10;w=1, 100;w=60;name="m"',
      'x-ratelimit-remaining': '5',
      'x-ratelimit-reset': '30',
    });
    expect(received[0]).toMatchObject({
      headers: { 'x-plan': 'gold', 'x-mine': 'kept', 'content-length': '6' },
      body: 'a body',
    });
    expect(received[0]?.headers).not.toHaveProperty('x-injected');
    expect(counts()).toMatchObject({ cluster: 'app', ok: 1, overLimit: 0, error: 0 });
  });

  it('refuses, in its own words', async () => {
    const { ask, limits, received, log, counts, proxy } = await startLimitedProxy(
      host(
        { response_headers_to_add: [{ header: { key: 'x-of-host', value: 'y' } }] },
        toCluster('app', { rate_limits: [key('one')] }),
      ),
      [filter({ response_headers_to_add: [{ header: { key: 'x-refused', value: 'yes' } }], stat_prefix: 'p' })],
    );
    limits.answer = () => ({
      overallCode: OVER_LIMIT,
      rawBody: Buffer.from('{"slow":"down"}'),
      responseHeadersToAdd: [
        { key: 'content-type', value: 'application/json' },
        { key: 'retry-after', value: '5' },
      ],
    });
    const refused = await ask('/', {}, 'a body');
    expect(refused).toMatchObject({ status: 429, body: '{"slow":"down"}' });
    expect(refused.headers).toMatchObject({
      'content-type': 'application/json',
      'retry-after': '5',
      'x-envoy-ratelimited': 'true',
      'x-refused': 'yes',
    });
    expect(refused.headers).not.toHaveProperty('x-of-host');
    expect(received).toEqual([]);
    expect(log[0]).toMatchObject({ responseFlags: 'RL', responseCodeDetails: 'request_rate_limited' });
    expect(counts()).toMatchObject({ statPrefix: 'p', overLimit: 1 });
    // The next request has nothing of it.
    limits.answer = () => ({ overallCode: OK });
    const next = await ask();
    expect(next.headers).not.toHaveProperty('retry-after');
    expect(proxy.dataPlane.stats.downstreamRqActive).toBe(0);
  });

  it('may have many words, of which gRPC gets as many as a head has room for', async () => {
    const { ask, limits, log, proxy } = await startLimitedProxy(ONE);
    limits.answer = () => ({ overallCode: OVER_LIMIT, rawBody: Buffer.alloc(65_500, 'x') });
    const { status, body } = await ask();
    expect(`${status} ${body.length}`).toBe('429 65500');
    const grpc = await ask('/', { 'content-type': 'application/grpc' }, 'x');
    expect(grpc).toMatchObject({ status: 200, headers: { 'grpc-status': '14', 'grpc-message': 'x'.repeat(8192) } });
    expect(proxy.dataPlane.stats.downstreamRqActive).toBe(0);
    expect(log).toMatchObject([{ responseCode: 429, bytesSent: 65_500 }, { responseCode: 200 }]);
  });

  it('refuses with the status of the filter, and gRPC by its own', async () => {
    const { ask, limits } = await startLimitedProxy(ONE, [
      filter({
        rate_limited_status: { code: 503 },
        rate_limited_as_resource_exhausted: true,
        disable_x_envoy_ratelimited_header: true,
      }),
    ]);
    limits.answer = () => ({ overallCode: OVER_LIMIT });
    const plain = await ask();
    expect(plain.status).toBe(503);
    expect(plain.headers).not.toHaveProperty('x-envoy-ratelimited');
    const grpc = await ask('/', { 'content-type': 'application/grpc' }, 'x');
    expect(grpc).toMatchObject({ status: 200, headers: { 'grpc-status': '8' } });
  });
});

describe('without an answer', () => {
  it('requests go through, unless the filter says otherwise', async () => {
    const { ask, limits, log, counts } = await startLimitedProxy(ONE, [filter({ timeout: '1s' })]);
    // The connection is there, so that the service has seen the call when its time is over, also on a busy machine.
    await ask();
    limits.answer = () => undefined;
    expect(await ask()).toMatchObject({ status: 200, body: 'hello' });
    expect(counts()).toMatchObject({ ok: 1, error: 1, failureModeAllowed: 1 });
    await eventually(() => limits.cancelled === 1, 'the service is told that nobody waits');
    expect(log[1]).toMatchObject({ responseFlags: '-' });
    limits.answer = () => ({ overallCode: 0 });
    expect((await ask()).status).toBe(200);
    expect(counts()).toMatchObject({ error: 2, failureModeAllowed: 2 });
  });

  it('the filter may refuse', async () => {
    const nobody = { grpc_service: { envoy_grpc: { cluster_name: 'empty' } }, transport_api_version: 'V3' };
    const deny = { failure_mode_deny: true, rate_limit_service: nobody };
    const { ask, log, counts } = await startLimitedProxy(ONE, [filter({ ...deny, status_on_error: { code: 503 } })]);
    expect((await ask()).status).toBe(503);
    expect(log[0]).toMatchObject({ responseFlags: 'RLSE', responseCodeDetails: 'rate_limiter_error' });
    expect(counts()).toMatchObject({ error: 1, failureModeAllowed: 0 });
  });

  it('no more calls are made than a proxy has room for', async () => {
    const { ask, limits, counts, proxy } = await startLimitedProxy(ONE);
    const { limitServices } = pathOf(proxy);
    limitServices.active = 4_095;
    expect((await ask()).status).toBe(200);
    expect(limits.asked).toHaveLength(1);
    limitServices.active = 4_096;
    expect((await ask()).status).toBe(200);
    expect(limits.asked).toHaveLength(1);
    expect(counts()).toMatchObject({ ok: 1, error: 1, failureModeAllowed: 1 });
    expect(limitServices.active).toBe(4_096);
  });

  it('a client that leaves takes its call with it', async () => {
    const { limits, proxy, log } = await startLimitedProxy(ONE, [filter({ timeout: '0s' })]);
    limits.answer = () => undefined;
    const client = await proxy.client();
    client.send('GET / HTTP/1.1\r\nHost: web\r\n\r\n');
    await eventually(() => limits.asked.length === 1, 'the service is asked');
    client.socket.destroy();
    await eventually(() => limits.cancelled === 1, 'the call ends');
    await eventually(() => log.length === 1, 'the request ends');
    expect(log[0]).toMatchObject({ responseFlags: 'DC' });
  });
});

describe('among other filters', () => {
  it('several services are asked one after the other, and the first refusal decides', async () => {
    const route = toCluster('app', { rate_limits: [key('a'), key('b', 1)] });
    const { ask, limits, received } = await startLimitedProxy(anyHost(route), [
      filter(),
      filter({ stage: 1, domain: 'later' }, 'later'),
    ]);
    limits.answer = ({ domain }) => ({ overallCode: OK, requestHeadersToAdd: [{ key: `x-${domain}`, value: '1' }] });
    await ask();
    expect(limits.asked.map(({ domain, descriptors }) => [domain, ...descriptors.flat()])).toEqual([
      ['shop', 'generic_key=a'],
      ['later', 'generic_key=b'],
    ]);
    expect(received[0]?.headers).toMatchObject({ 'x-shop': '1', 'x-later': '1' });
    limits.answer = () => ({ overallCode: OVER_LIMIT });
    expect((await ask()).status).toBe(429);
    expect(limits.asked).toHaveLength(3);
  });

  it('a fault that comes before is not asked about, one that comes after is', async () => {
    const abort = fault({ abort: { http_status: 418, ...ALL }, delay: { fixed_delay: '0.02s', ...ALL } });
    for (const [filters, asked] of [
      [[abort, filter()], 0],
      [[filter(), abort], 1],
    ] as const) {
      const { ask, limits, log } = await startLimitedProxy(ONE, filters);
      expect((await ask()).status).toBe(418);
      expect(limits.asked).toHaveLength(asked);
      expect(log[0]?.responseFlags).toBe('DI,FI');
    }
    const late = await startLimitedProxy(ONE, [fault({ delay: { fixed_delay: '0.02s', ...ALL } }), filter()]);
    expect((await late.ask('/', {}, 'body')).status).toBe(200);
    expect(late.received[0]?.body).toBe('body');
    expect(late.log[0]?.responseFlags).toBe('DI');
  });

  it('its place is checked', async () => {
    const limit = { '@type': `${FILTERS}.local_ratelimit.v3.LocalRateLimit`, stat_prefix: 's' };
    await expect(startLimitedProxy(ONE, [filter(), { name: 'l', typed_config: limit }])).rejects.toThrow(
      /a rate limit must come before those that ask a service/,
    );
    const vague = {
      actions: [{ metadata: { descriptor_key: 'k', metadata_key: { key: 'a', path: [{ key: 'b' }] } } }],
    };
    await expect(startLimitedProxy(anyHost(toCluster('app', { rate_limits: [vague] })))).rejects.toThrow(
      /DYNAMIC is not supported/,
    );
  });
});
