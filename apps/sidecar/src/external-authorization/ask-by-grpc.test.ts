// An authorizer by gRPC: what it is told, what its answers do, and what happens where it gives none.

import { describe, expect, it } from 'vitest';
import { header, httpRbac, rules } from '../testing/access-rules.js';
import { byGrpc, startAuthorizedProxy } from '../testing/authorized-proxy.js';
import { anyHost, toCluster } from '../testing/envoy-config.js';
import { eventually } from '../testing/raw-peers.js';

const DENIED = { status: { code: 7 } };

describe('a question', () => {
  it('says who asks for what, as it goes on', async () => {
    const { ask, grpc, received, counts } = await startAuthorizedProxy([byGrpc()], undefined, {
      use_remote_address: true,
      normalize_path: true,
    });
    const answer = await ask('/a/../b?x=1', { host: 'shop', 'x-two': ['a', 'b'], 'x-envoy-auth-partial-body': 'true' });
    expect(answer).toMatchObject({ status: 200, body: 'hello' });
    const { source, destination, request } = grpc.asked[0]?.attributes ?? {};
    expect(source?.address?.address.value).toMatchObject({ address: '127.0.0.1' });
    expect(destination?.address?.address.value).toMatchObject({ address: '127.0.0.1' });
    const http = request?.http;
    expect(http).toMatchObject({ method: 'GET', path: '/b?x=1', host: 'shop', scheme: 'http', protocol: 'HTTP/1.1' });
    expect(http?.headers).toMatchObject({
      ':authority': 'shop',
      ':method': 'GET',
      ':path': '/b?x=1',
      ':scheme': 'http',
      'x-two': 'a,b',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
    });
    expect(http?.headers).not.toHaveProperty('x-envoy-auth-partial-body');
    expect(http?.headers).not.toHaveProperty('host');
    expect(received[0]?.path).toBe('/b?x=1');
    expect(received[0]?.headers['x-forwarded-for']).toBe('127.0.0.1');
    expect(counts()).toMatchObject({ kind: 'http', ok: 1, denied: 0, error: 0, disabled: 0 });
  });

  it('has the headers that are allowed, and raw ones where that is asked for', async () => {
    const { ask, grpc } = await startAuthorizedProxy([
      byGrpc({
        allowed_headers: { patterns: [{ prefix: 'X-', ignore_case: true }, { exact: ':path' }] },
        disallowed_headers: { patterns: [{ exact: 'x-secret' }] },
        encode_raw_headers: true,
      }),
    ]);
    await ask('/p', { 'x-a': ['1', '2'], 'x-secret': 's', other: 'o' });
    const raw = grpc.asked[0]?.attributes?.request?.http?.headerMap?.headers ?? [];
    const lines = raw.map(({ key, rawValue }) => `${key}=${Buffer.from(rawValue).toString('latin1')}`);
    expect(lines.filter((line) => !/^x-(forwarded|request-id)/.test(line))).toEqual([':path=/p', 'x-a=1', 'x-a=2']);
  });

  it('has every value of a header that came several times', async () => {
    const { ask, grpc } = await startAuthorizedProxy([byGrpc({})]);
    await ask('/p', { 'x-role': ['admin', 'user'] });
    expect(grpc.asked[0]?.attributes?.request?.http?.headers['x-role']).toBe('admin,user');
  });

  it('is asked only about what access rules before it have marked', async () => {
    const marks = httpRbac({
      shadow_rules: rules('DENY', { 'ask-1': [header('x-check', { exact: 'yes' }), { any: true }] }),
      shadow_rules_stat_prefix: 'custom_',
    });
    const enabling = {
      filter: 'envoy.filters.http.rbac',
      path: [{ key: 'custom_shadow_effective_policy_id' }],
      value: { string_match: { prefix: 'ask-' } },
    };
    const { ask, grpc, counts } = await startAuthorizedProxy([marks, byGrpc({ filter_enabled_metadata: enabling })]);
    grpc.answer = () => DENIED;
    expect((await ask()).status).toBe(200);
    expect((await ask('/', { 'x-check': 'yes' })).status).toBe(403);
    expect(counts()).toMatchObject({ disabled: 1, denied: 1 });
    expect(grpc.asked).toHaveLength(1);
  });

  it('is not asked about what access rules before it deny', async () => {
    const deny = httpRbac({ rules: rules('DENY', { d: [header('x-no', { exact: 'yes' }), { any: true }] }) });
    const { ask, grpc } = await startAuthorizedProxy([deny, byGrpc()]);
    expect(await ask('/', { 'x-no': 'yes' })).toMatchObject({ status: 403, body: 'RBAC: access denied' });
    expect(grpc.asked).toHaveLength(0);
  });
});

describe('a yes', () => {
  it('changes heads both ways, in order', async () => {
    const { ask, grpc, received } = await startAuthorizedProxy([byGrpc()]);
    grpc.answer = () => ({
      status: { code: 0 },
      httpResponse: {
        case: 'okResponse',
        value: {
          headers: [
            { header: { key: 'X-User', value: 'jason' }, append: false },
            { header: { key: 'x-list', value: 'c' }, append: true },
            { header: { key: 'x-new', value: 'n' }, appendAction: 1 },
            { header: { key: 'x-gone', value: 'no' }, append: true },
            { header: { key: 'x-evil', value: 'a\r\nx-injected: 1' }, append: false },
            { header: { key: 'transfer-encoding', value: 'chunked' }, append: false },
            { header: { key: 'host', value: 'evil' }, append: false },
          ],
          headersToRemove: ['Authorization', 'host'],
          queryParametersToSet: [
            { key: 'b', value: '2' },
            { key: 'c', value: 'x y' },
          ],
          queryParametersToRemove: ['secret'],
          responseHeadersToAdd: [
            { header: { key: 'x-app', value: 'no' }, append: false },
            { header: { key: 'x-more', value: '1' } },
            { header: { key: 'x-app', value: 'never' }, appendAction: 1 },
            { header: { key: 'x-gone', value: 'never' }, appendAction: 3 },
          ],
        },
      },
    });
    const answer = await ask('/p?a=1&b=0&secret=s', {
      host: 'shop',
      'x-user': 'forged',
      'x-list': ['a', 'b'],
      authorization: 'Bearer x',
    });
    expect(answer.status).toBe(200);
    expect(received[0]).toMatchObject({
      path: '/p?a=1&b=2',
      headers: { 'x-user': 'jason', 'x-list': 'a,b,c', host: 'shop', 'x-new': 'n' },
    });
    for (const name of ['authorization', 'x-gone', 'x-evil', 'x-injected', 'transfer-encoding']) {
      expect(received[0]?.headers).not.toHaveProperty(name);
    }
    expect(answer.headers).toMatchObject({ 'x-app': 'no', 'x-more': '1' });
    expect(answer.headers).not.toHaveProperty('x-gone');
  });

  it('chooses the route anew where the filter says so, and else not', async () => {
    const routes = {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [
            {
              match: { prefix: '/', headers: [{ name: 'x-to', string_match: { exact: 'other' } }] },
              route: { cluster: 'other' },
              response_headers_to_add: [{ header: { key: 'x-route', value: 'other' } }],
            },
            { match: { prefix: '/' }, route: { cluster: 'app' } },
          ],
        },
      ],
    };
    const toOther = () => ({
      httpResponse: {
        case: 'okResponse' as const,
        value: { headers: [{ header: { key: 'x-to', value: 'other' }, append: false }] },
      },
    });
    for (const clears of [true, false]) {
      const { ask, grpc, received } = await startAuthorizedProxy([byGrpc({ clear_route_cache: clears })], routes);
      grpc.answer = toOther;
      expect((await ask()).headers['x-route']).toBe(clears ? 'other' : undefined);
      expect(received[0]?.headers['x-to']).toBe('other');
    }
  });

  it('lets a body through that came meanwhile, in one piece or chunked', async () => {
    const { ask, received } = await startAuthorizedProxy([byGrpc()]);
    const body = 'x'.repeat(300_000);
    await ask('/', {}, body);
    await ask('/', { 'transfer-encoding': 'chunked' }, body);
    expect(received.map((one) => one.body === body)).toEqual([true, true]);
  });
});

describe('a no', () => {
  it('is what the authorizer says, in its words', async () => {
    const { ask, grpc, log, received, counts } = await startAuthorizedProxy([byGrpc()]);
    grpc.answer = () => ({
      status: { code: 16 },
      httpResponse: {
        case: 'deniedResponse',
        value: {
          status: { code: 401 },
          body: '{"who":"are you"}',
          headers: [
            { header: { key: 'content-type', value: 'application/json' } },
            { header: { key: 'www-authenticate', value: 'Bearer' } },
            { header: { key: 'content-length', value: '3' } },
          ],
        },
      },
      dynamicMetadata: { why: 'no token' },
    });
    const answer = await ask('/', {}, 'a body');
    expect(answer).toMatchObject({
      status: 401,
      body: '{"who":"are you"}',
      headers: { 'content-type': 'application/json', 'www-authenticate': 'Bearer' },
    });
    expect(received).toHaveLength(0);
    expect(log[0]).toMatchObject({ responseFlags: 'UAEX', responseCodeDetails: 'ext_authz_denied' });
    expect(counts()).toMatchObject({ ok: 0, denied: 1 });
  });

  it('is 403 without words, and gRPC is told by its own status', async () => {
    const { ask, grpc } = await startAuthorizedProxy([byGrpc()]);
    grpc.answer = () => DENIED;
    expect(await ask()).toMatchObject({ status: 403, body: '' });
    const call = await ask('/', { 'content-type': 'application/grpc' }, 'x');
    expect(call).toMatchObject({ status: 200, headers: { 'grpc-status': '7' } });
  });
});

describe('without an answer', () => {
  it('a request is refused, unless the filter says otherwise', async () => {
    const { ask, log, counts } = await startAuthorizedProxy([byGrpc({ status_on_error: { code: 503 } }, 'empty')]);
    expect(await ask()).toMatchObject({ status: 503, body: '' });
    expect(log[0]).toMatchObject({ responseFlags: 'UAEX', responseCodeDetails: 'ext_authz_error' });
    expect(counts()).toMatchObject({ error: 1, failureModeAllowed: 0 });
    const open = await startAuthorizedProxy([
      byGrpc({ failure_mode_allow: true, failure_mode_allow_header_add: true }, 'empty'),
    ]);
    expect((await open.ask()).status).toBe(200);
    expect(open.received[0]?.headers['x-envoy-auth-failure-mode-allowed']).toBe('true');
    expect(open.counts()).toMatchObject({ error: 1, failureModeAllowed: 1 });
  });

  it('time passes, and the authorizer is told that nobody waits', async () => {
    const { ask, grpc, counts } = await startAuthorizedProxy([
      byGrpc({ grpc_service: { envoy_grpc: { cluster_name: 'grpc-authorizer' }, timeout: '2s' } }),
    ]);
    await ask();
    grpc.answer = () => undefined;
    expect((await ask()).status).toBe(403);
    await eventually(() => grpc.cancelled === 1, 'the call is given up');
    expect(counts()).toMatchObject({ error: 1 });
  });

  it('an answer that cannot be done fails where that is asked for', async () => {
    const { ask, grpc, log, counts } = await startAuthorizedProxy([byGrpc({ validate_mutations: true })]);
    grpc.answer = () => ({
      httpResponse: {
        case: 'okResponse',
        value: { headers: [{ header: { key: 'x-a', value: 'a\nb' }, append: false }] },
      },
    });
    expect((await ask()).status).toBe(500);
    expect(log[0]).toMatchObject({ responseFlags: 'UAEX', responseCodeDetails: 'ext_authz_invalid' });
    expect(counts()).toMatchObject({ invalid: 1 });
  });
});

describe('a body that is told', () => {
  const told = (extra: Record<string, unknown>) => byGrpc({ with_request_body: { max_request_bytes: 10, ...extra } });

  it('is all of it, in either framing', async () => {
    const { ask, grpc, received } = await startAuthorizedProxy([told({})]);
    await ask('/', {}, '0123456789');
    await ask('/', { 'transfer-encoding': 'chunked' }, '01234');
    await ask();
    const asked = grpc.asked.map((one) => one.attributes?.request?.http);
    expect(asked.map((one) => [one?.body, one?.headers['x-envoy-auth-partial-body']])).toEqual([
      ['0123456789', 'false'],
      ['01234', 'false'],
      ['', undefined],
    ]);
    expect(received.map(({ body }) => body)).toEqual(['0123456789', '01234', '']);
  });

  it('is refused where it is longer', async () => {
    const { ask, grpc, log, proxy } = await startAuthorizedProxy([told({})]);
    expect(await ask('/', {}, '0123456789a')).toMatchObject({ status: 413, body: 'Payload Too Large' });
    expect(log[0]).toMatchObject({ responseCodeDetails: 'request_payload_too_large' });
    expect(grpc.asked).toHaveLength(0);
    await eventually(() => proxy.dataPlane.stats.downstreamRqActive === 0, 'the request has ended');
  });

  it('is its beginning where that is enough, as bytes where they are asked for', async () => {
    const { ask, grpc, received } = await startAuthorizedProxy([
      told({ allow_partial_message: true, pack_as_bytes: true }),
    ]);
    const body = `0123456789${'x'.repeat(200_000)}`;
    await ask('/', { 'transfer-encoding': 'chunked' }, body);
    const http = grpc.asked[0]?.attributes?.request?.http;
    expect(Buffer.from(http?.rawBody ?? []).toString()).toBe('0123456789');
    expect(http?.headers['x-envoy-auth-partial-body']).toBe('true');
    expect(received[0]?.body === body).toBe(true);
  });
});

it('two authorizers are asked one after the other, and each sees what the one before has changed', async () => {
  const { ask, grpc, received } = await startAuthorizedProxy([byGrpc(), byGrpc()], anyHost(toCluster('app')));
  grpc.answer = (asked) => {
    const seen = asked.attributes?.request?.http?.headers['x-seen'] ?? '';
    const header = { key: 'x-seen', value: `${seen}+` };
    return { httpResponse: { case: 'okResponse', value: { headers: [{ header, append: false }] } } };
  };
  await ask('/', {}, 'a body');
  expect(received[0]).toMatchObject({ headers: { 'x-seen': '++' }, body: 'a body' });
});
