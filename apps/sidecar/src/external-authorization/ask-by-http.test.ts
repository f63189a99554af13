// An authorizer by HTTP: what it is asked, and what its answers do.

import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { byHttp, startAuthorizedProxy } from '../testing/authorized-proxy.js';
import { anyHost, toCluster } from '../testing/envoy-config.js';

const names = (...exact: string[]) => ({ patterns: exact.map((name) => ({ exact: name, ignore_case: true })) });

describe('a question', () => {
  it('is the request without its body, with few of its headers', async () => {
    const { ask, http, received } = await startAuthorizedProxy([
      byHttp({
        path_prefix: '/check',
        authorization_request: {
          allowed_headers: {
            patterns: [
              { exact: 'Cookie', ignore_case: true },
              { prefix: 'x-', ignore_case: true },
            ],
          },
          headers_to_add: [{ key: 'X-Own', value: '100%%' }],
        },
      }),
    ]);
    await ask('/p?q=1', { host: 'shop', authorization: 'a', cookie: 'c', 'x-own': 'forged', other: 'no' }, 'a body');
    expect(http.asked[0]).toMatchObject({
      method: 'POST',
      path: '/check/p?q=1',
      headers: { host: 'shop', authorization: 'a', cookie: 'c', 'x-own': '100%', 'content-length': '0' },
      body: '',
    });
    for (const name of ['other', 'transfer-encoding', 'x-envoy-auth-partial-body']) {
      expect(http.asked[0]?.headers).not.toHaveProperty(name);
    }
    expect(received[0]).toMatchObject({ headers: { 'x-own': 'forged' }, body: 'a body' });
  });

  it('has as much of the body as is told', async () => {
    const { ask, http, received } = await startAuthorizedProxy([
      byHttp({}, { with_request_body: { max_request_bytes: 4, allow_partial_message: true } }),
    ]);
    await ask('/', { 'transfer-encoding': 'chunked' }, '012345');
    expect(http.asked[0]).toMatchObject({
      headers: { 'content-length': '4', 'x-envoy-auth-partial-body': 'true' },
      body: '0123',
    });
    expect(received[0]?.body).toBe('012345');
  });

  it('is never one about CONNECT, which is refused', async () => {
    const { proxy, http, received } = await startAuthorizedProxy(
      [byHttp({}, { failure_mode_allow: true })],
      anyHost({
        match: { connect_matcher: {} },
        route: { cluster: 'app', upgrade_configs: [{ upgrade_type: 'CONNECT' }] },
      }),
      { upgrade_configs: [{ upgrade_type: 'CONNECT' }] },
    );
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(proxy.port(), '127.0.0.1', () =>
        socket.write('CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n'),
      );
      socket.once('data', (bytes) => {
        socket.destroy();
        resolve(String(bytes));
      });
    });
    expect(answer).toMatch(/^HTTP\/1.1 403 /);
    expect(http.asked).toHaveLength(0);
    expect(received).toHaveLength(0);
  });
});

describe('an answer', () => {
  it('of 200 sets the headers that are listed, and takes away what it names', async () => {
    const { ask, http, received } = await startAuthorizedProxy([
      byHttp({
        authorization_response: {
          allowed_upstream_headers: names('x-user', 'Connection'),
          allowed_upstream_headers_to_append: names('x-group'),
          allowed_client_headers_on_success: names('set-cookie'),
        },
      }),
    ]);
    http.answer = () => ({
      status: 200,
      headers: {
        'x-user': 'jason',
        'x-group': 'b',
        'x-other': 'no',
        connection: 'x-user-hop',
        'set-cookie': ['a=1', 'b=2'],
        'x-envoy-auth-headers-to-remove': 'authorization, x-gone',
      },
      body: 'ignored',
    });
    const answer = await ask('/', { 'x-user': 'forged', 'x-group': 'a', authorization: 'a', 'x-gone': 'g' });
    expect(answer).toMatchObject({ status: 200, body: 'hello', headers: { 'set-cookie': ['a=1', 'b=2'] } });
    expect(received[0]?.headers).toMatchObject({ 'x-user': 'jason', 'x-group': 'a, b' });
    for (const name of ['authorization', 'x-gone', 'x-other', 'x-envoy-auth-headers-to-remove']) {
      expect(received[0]?.headers).not.toHaveProperty(name);
    }
  });

  it('is not undone by calling what it sets a header of the hop', async () => {
    const { ask, http, received } = await startAuthorizedProxy([
      byHttp({ authorization_response: { allowed_upstream_headers: names('x-user') } }),
    ]);
    http.answer = () => ({ status: 200, headers: { 'x-user': 'jason' } });
    await ask('/', { connection: 'close, X-User', 'x-user': 'admin' });
    expect(received[0]?.headers['x-user']).toBe('jason');
  });

  it('of another status is the answer to the client, with all of its headers or those that are listed', async () => {
    for (const listed of [undefined, names('x-why')]) {
      const { ask, http, received, log } = await startAuthorizedProxy([
        byHttp(listed === undefined ? {} : { authorization_response: { allowed_client_headers: listed } }),
      ]);
      http.answer = () => ({
        status: 302,
        headers: { location: '/login', 'x-why': 'w', 'x-other': 'o', 'set-cookie': ['a=1', 'b=2'] },
        body: 'please log in',
      });
      const { status, headers, body } = await ask();
      expect([status, body, headers.location, headers['x-why']]).toEqual([302, 'please log in', '/login', 'w']);
      expect(headers['x-other']).toBe(listed === undefined ? 'o' : undefined);
      expect(headers['set-cookie']).toEqual(listed === undefined ? ['a=1', 'b=2'] : undefined);
      expect(received).toHaveLength(0);
      expect(log[0]).toMatchObject({ responseFlags: 'UAEX', responseCodeDetails: 'ext_authz_denied' });
    }
  });

  it('of a server in trouble is none', async () => {
    const { ask, http, log, counts } = await startAuthorizedProxy([byHttp()]);
    http.answer = () => ({ status: 503, body: 'x' });
    expect(await ask()).toMatchObject({ status: 403, body: '' });
    expect(log[0]).toMatchObject({ responseCodeDetails: 'ext_authz_error' });
    expect(counts()).toMatchObject({ error: 1, denied: 0 });
  });

  it('may come to an upgrade, which is asked about too', async () => {
    const { proxy, http } = await startAuthorizedProxy([byHttp()], anyHost(toCluster('app')), {
      upgrade_configs: [{ upgrade_type: 'websocket' }],
    });
    http.answer = () => ({ status: 401 });
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(proxy.port(), '127.0.0.1', () =>
        socket.write('GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'),
      );
      socket.once('data', (bytes) => {
        socket.destroy();
        resolve(String(bytes));
      });
    });
    expect(answer).toMatch(/^HTTP\/1.1 401 /);
    expect(http.asked[0]?.path).toBe('/chat');
  });
});
