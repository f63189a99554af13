// What a rate limit service is asked about a request: by the actions of its route and its virtual host.

import { describe, expect, it } from 'vitest';
import { anyHost, toCluster } from '../testing/envoy-config.js';
import { host, type Json, key, perRoute, startLimitedProxy } from '../testing/limited-proxy.js';

describe('a request is described', () => {
  it('by the actions of its route, in their order', async () => {
    const route = toCluster('app', {
      rate_limits: [
        {
          actions: [
            { source_cluster: {} },
            { destination_cluster: {} },
            { request_headers: { header_name: 'X-User', descriptor_key: 'user' } },
            { request_headers: { header_name: ':path', descriptor_key: 'path' } },
            { request_headers: { header_name: 'x-none', descriptor_key: 'none', skip_if_absent: true } },
            { remote_address: {} },
            { masked_remote_address: { v4_prefix_mask_len: 8 } },
            { generic_key: { descriptor_value: 'v' } },
            { generic_key: { descriptor_key: 'k', descriptor_value: 'v' } },
          ],
        },
        {
          actions: [
            { generic_key: { descriptor_value: 'x' } },
            { request_headers: { header_name: 'x-none', descriptor_key: 'none' } },
          ],
        },
        key('second'),
        key('other-stage', 1),
      ],
    });
    const { ask, limits, received } = await startLimitedProxy(anyHost(route));
    const answer = await ask('/a?b=c', { 'x-user': ['ann', 'bob'] });
    expect(answer).toMatchObject({ status: 200, body: 'hello' });
    expect(received).toHaveLength(1);
    const { domain, descriptors } = limits.asked[0] ?? { domain: '', descriptors: [] };
    expect(domain).toBe('shop');
    expect(descriptors).toEqual([
      [
        'source_cluster=own',
        'destination_cluster=app',
        'user=ann',
        'path=/a?b=c',
        'remote_address=127.0.0.1',
        'masked_remote_address=127.0.0.0/8',
        'generic_key=v',
        'k=v',
      ],
      ['generic_key=second'],
    ]);
    expect(limits.asked).toHaveLength(1);
  });

  it('by matchers of headers and query parameters, and by metadata of the route', async () => {
    const match = (value: string, extra: Json = {}) => ({
      header_value_match: { descriptor_value: value, headers: [{ name: 'x-kind', exact_match: 'a' }], ...extra },
    });
    const query = { name: 'q', string_match: { exact: '1' } };
    const metadataKey = (...path: string[]) => ({ key: 'lateen', path: path.map((one) => ({ key: one })) });
    const metadata = (name: string, extra: Json = {}) => ({
      metadata: { descriptor_key: name, source: 'ROUTE_ENTRY', metadata_key: metadataKey('plan', name), ...extra },
    });
    const route = toCluster('app', {
      rate_limits: [
        { actions: [match('is-a')] },
        { actions: [match('not-a', { expect_match: false, descriptor_key: 'kind' })] },
        { actions: [{ query_parameter_value_match: { descriptor_value: 'one', query_parameters: [query] } }] },
        {
          actions: [
            metadata('tier'),
            metadata('gone', { skip_if_absent: true }),
            metadata('d', { default_value: 'e' }),
          ],
        },
        { actions: [key('never').actions[0] as Json, metadata('gone')] },
      ],
    });
    const metadataOfRoute = { metadata: { filter_metadata: { lateen: { plan: { tier: 'gold' } } } } };
    const { ask, limits } = await startLimitedProxy(anyHost({ ...route, ...metadataOfRoute }));
    await ask('/?q=1', { 'x-kind': 'a' });
    await ask('/?q=2', { 'x-kind': 'b' });
    expect(limits.asked.map(({ descriptors }) => descriptors)).toEqual([
      [['header_match=is-a'], ['query_match=one'], ['tier=gold', 'd=e']],
      [['kind=not-a'], ['tier=gold', 'd=e']],
    ]);
  });

  it('by the actions of its virtual host, as route and filter say', async () => {
    const direct = { match: { prefix: '/direct' }, direct_response: { status: 200 } };
    const own = { rate_limits: [key('own')] };
    const { ask, limits } = await startLimitedProxy(
      host(
        { rate_limits: [key('host')] },
        direct,
        toCluster('app', own, '/own'),
        toCluster('app', { ...own, include_vh_rate_limits: true }, '/with-host'),
        { ...toCluster('app', own, '/both'), ...perRoute({ vh_rate_limits: 'INCLUDE', domain: 'other' }) },
        { ...toCluster('app', {}, '/none'), ...perRoute({ vh_rate_limits: 'IGNORE' }) },
        {
          ...toCluster('app', {}, '/off'),
          typed_per_filter_config: {
            limits: { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled: true },
          },
        },
        toCluster('app', { cluster: 'missing' }, '/missing'),
        toCluster('app'),
      ),
    );
    const asked = async (path: string) => {
      limits.asked.length = 0;
      await ask(path);
      return limits.asked.map(({ domain, descriptors }) => [domain, ...descriptors.flat()]);
    };
    expect(await asked('/')).toEqual([['shop', 'generic_key=host']]);
    expect(await asked('/own')).toEqual([['shop', 'generic_key=own']]);
    expect(await asked('/with-host')).toEqual([['shop', 'generic_key=own', 'generic_key=host']]);
    expect(await asked('/both')).toEqual([['other', 'generic_key=own', 'generic_key=host']]);
    for (const path of ['/none', '/off', '/direct', '/missing']) expect(await asked(path)).toEqual([]);
  });
});
