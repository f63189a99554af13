// Retries of requests with bodies, and the conditions that ask for headers, each seen from the wire.

import { describe, expect, it } from 'vitest';
import { startOneCluster } from '../testing/one-cluster.js';
import { eventually, type RawConnection, type RawUpstream } from '../testing/raw-peers.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const unavailable = (headers = '') => `HTTP/1.1 503 Service Unavailable\r\n${headers}Content-Length: 2\r\n\r\nno`;

function bodyOf(length: number): string {
  let body = '';
  for (let at = 0; body.length < length; at++) body += `${at};`;
  return body.slice(0, length);
}

function post(body: string, headers = ''): string {
  return `POST /things HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`;
}

const policy = (retry: object, route: object = {}) => ({
  route: { retry_policy: { retry_on: '5xx', num_retries: 2, ...retry }, ...route },
});

/** Takes a request with a large body off a connection without looking at it byte by byte. */
async function takeRequest(
  upstream: RawUpstream,
  bodyLength: number,
): Promise<{ server: RawConnection; body: string }> {
  const server = await upstream.next();
  await server.until(({ received }) => {
    const head = received.indexOf('\r\n\r\n');
    return head > 0 && received.length >= head + 4 + bodyLength;
  }, 'a whole request');
  return { server, body: server.received.slice(server.received.indexOf('\r\n\r\n') + 4) };
}

describe('retries of requests with bodies', () => {
  it.each([1, 3000, 5000, 70_000, 300_000, 1_000_000])('sends all of %d bytes again', async (length) => {
    const { proxy, upstream, log } = await startOneCluster(policy({}));
    const client = await proxy.client();
    const body = bodyOf(length);
    client.send(post(body));
    for (const answer of [unavailable(), unavailable(), OK]) {
      const { server, body: received } = await takeRequest(upstream, length);
      expect(received === body).toBe(true);
      server.send(answer);
    }
    expect((await client.message()).head).toContain('200 OK');
    expect(log).toMatchObject([{ responseCode: 200, responseFlags: '-' }]);
    expect(proxy.dataPlane.stats.upstreamRqRetry).toBe(2);
  });

  it('sends again what was sent so far where the connection is cut in the middle, and then the rest', async () => {
    const { proxy, upstream } = await startOneCluster(policy({ retry_on: 'reset' }));
    const client = await proxy.client();
    const body = bodyOf(400_000);
    const whole = post(body);
    client.send(whole.slice(0, 200_000));
    const first = await upstream.next();
    await first.until(({ received }) => received.length > 150_000);
    first.socket.destroy();
    const second = await upstream.next();
    client.send(whole.slice(200_000));
    await second.until(({ received }) => received.length >= received.indexOf('\r\n\r\n') + 4 + body.length);
    expect(second.received.slice(second.received.indexOf('\r\n\r\n') + 4) === body).toBe(true);
    second.send(OK);
    expect((await client.message()).head).toContain('200 OK');
  });

  it.each([
    ['the default of 1 MiB', 1_100_000, {}],
    ['the limit of the route', 5000, { per_request_buffer_limit_bytes: 4000 }],
  ])('does not try again beyond %s', async (_limit, length, route) => {
    const { proxy, upstream, log } = await startOneCluster({
      routes: [{ match: { prefix: '/' }, route: { cluster: 'c', timeout: '0s', ...policy({}).route }, ...route }],
    });
    const client = await proxy.client();
    client.send(post(bodyOf(length)));
    const { server } = await takeRequest(upstream, length);
    server.send(unavailable());
    expect((await client.message()).head).toContain('503');
    expect(log).toMatchObject([{ responseCode: 503, responseFlags: '-' }]);
    expect(proxy.dataPlane.stats.upstreamRqRetry).toBe(0);
  });
});

describe('conditions of retries that ask for headers', () => {
  const once = async (options: Parameters<typeof startOneCluster>[0], answer: string, requestHeaders = '') => {
    const { proxy, upstream } = await startOneCluster(options);
    const client = await proxy.client();
    client.send(post('x', requestHeaders));
    const first = await takeRequest(upstream, 1);
    first.server.send(answer);
    let done = false;
    const message = client.message().then((received) => {
      done = true;
      return received;
    });
    await eventually(() => done || proxy.dataPlane.stats.upstreamRqRetry > 0, 'it is answered or tried again');
    if (!done) (await takeRequest(upstream, 1)).server.send(OK);
    await message;
    return proxy.dataPlane.stats.upstreamRqRetry;
  };

  it('tries again where the response has a header that the policy names', async () => {
    const retry = {
      retry_on: 'retriable-headers',
      retriable_headers: [{ name: 'X-Again', string_match: { prefix: 'YES', ignore_case: true } }],
    };
    expect(
      await once(policy(retry), 'HTTP/1.1 404 Not Found\r\nx-again: yes please\r\nContent-Length: 0\r\n\r\n'),
    ).toBe(1);
    expect(await once(policy(retry), 'HTTP/1.1 404 Not Found\r\nx-again: no\r\nContent-Length: 0\r\n\r\n')).toBe(0);
    expect(await once(policy(retry), unavailable())).toBe(0);
  });

  it('tries a rate-limited request again only where that is asked for', async () => {
    const limited = unavailable('x-envoy-ratelimited: true\r\n');
    expect(await once(policy({}), limited)).toBe(0);
    expect(await once(policy({ retry_on: '5xx,envoy-ratelimited' }), limited)).toBe(1);
    expect(await once(policy({ retry_on: 'envoy-ratelimited' }), unavailable())).toBe(0);
  });

  it('tries again only requests that have a header that the policy names', async () => {
    const retry = { retriable_request_headers: [{ name: 'x-may-retry', present_match: true }] };
    expect(await once(policy(retry), unavailable())).toBe(0);
    expect(await once(policy(retry), unavailable(), 'x-may-retry: 1\r\n')).toBe(1);
  });

  it('waits as long as the response says', async () => {
    const retry = {
      rate_limited_retry_back_off: { reset_headers: [{ name: 'Retry-After', format: 'SECONDS' }], max_interval: '5s' },
    };
    const startMs = performance.now();
    expect(await once(policy(retry), unavailable('retry-after: 1\r\n'))).toBe(1);
    expect(performance.now() - startMs).toBeGreaterThan(990);
    // Longer than the most that is waited: the ordinary pause.
    expect(await once(policy(retry), unavailable('retry-after: 3600\r\n'))).toBe(1);
  });
});

describe('the idle time of an attempt', () => {
  it('ends an attempt in which nothing moves, and the next one goes on', async () => {
    const { proxy, upstream } = await startOneCluster(policy({ per_try_idle_timeout: '0.3s' }));
    const client = await proxy.client();
    client.send(post('x'));
    await takeRequest(upstream, 1);
    (await takeRequest(upstream, 1)).server.send(OK);
    expect((await client.message()).head).toContain('200 OK');
  });

  it('is answered 504 SI where no attempt is left', async () => {
    const { proxy, log } = await startOneCluster(policy({ per_try_idle_timeout: '0.2s', num_retries: 0 }));
    const client = await proxy.client();
    client.send(post('x'));
    expect((await client.message()).head).toContain('504');
    expect(log).toMatchObject([{ responseFlags: 'SI', responseCodeDetails: 'upstream_per_try_idle_timeout' }]);
  });
});
