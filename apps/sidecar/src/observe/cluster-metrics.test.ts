// Metrics of clusters: what became of requests, under Envoy's names.

import { describe, expect, it } from 'vitest';
import { anyHost, cluster, connectionManager, dataPlaneConfig, endpointOf, listener } from '../testing/envoy-config.js';
import { startOneCluster } from '../testing/one-cluster.js';
import { startProxy } from '../testing/proxy-fixture.js';
import { writeClusters } from './cluster-metrics.js';
import { PrometheusText } from './prometheus-text.js';

const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
const answer = (status: number) => `HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`;
const route = (prefix: string, more: object = {}) => ({ match: { prefix }, route: { cluster: 'c', ...more } });
const RETRIES = { retry_policy: { retry_on: '5xx', num_retries: 1 } };

describe('the metrics of a cluster', () => {
  it('count answers, retries, times that are over, and what it refuses', async () => {
    const { proxy, upstream } = await startOneCluster({
      routes: [
        route('/retried', RETRIES),
        route('/slow', { timeout: '0.05s' }),
        { match: { prefix: '/direct' }, direct_response: { status: 418 } },
        route('/'),
      ],
    });
    const counted = () => {
      const out = new PrometheusText();
      writeClusters(out, proxy.dataPlane);
      const lines = out.toString().matchAll(/^envoy_cluster_(\w+)\{([^}]*)\} (\d+)$/gm);
      const values = [...lines].map(([, name, labels, value]) => {
        const digit = /class="(\d)"/.exec(labels ?? '')?.[1] ?? '';
        return [name?.replace(/xx$/, `${digit}xx`), Number(value)] as const;
      });
      return Object.fromEntries(values.filter(([name, value]) => value > 0 && name?.startsWith('upstream_rq')));
    };
    const client = await proxy.client();
    client.send(request('/'));
    let server = await upstream.next();
    const serve = async (...statuses: readonly number[]) => {
      for (const [attempt, status] of statuses.entries()) {
        // What is tried again leaves its connection.
        if (attempt > 0) server = await upstream.next();
        await server.message();
        server.send(answer(status));
      }
      await client.message();
    };
    await serve(200);
    client.send(request('/x'));
    await serve(404);
    client.send(request('/direct'));
    await client.message();
    expect(counted()).toEqual({
      upstream_rq_total: 2,
      upstream_rq_completed: 2,
      upstream_rq_2xx: 1,
      upstream_rq_4xx: 1,
    });
    client.send(request('/retried'));
    await serve(503, 200);
    client.send(request('/retried'));
    await serve(503, 503);
    expect(counted()).toMatchObject({
      upstream_rq_total: 6,
      upstream_rq_completed: 4,
      upstream_rq_2xx: 2,
      upstream_rq_5xx: 1,
      upstream_rq_retry: 2,
      upstream_rq_retry_success: 1,
      upstream_rq_retry_limit_exceeded: 1,
    });
    client.send(request('/slow'));
    expect((await client.message()).head).toMatch(/^HTTP\/1\.1 504 /);
    expect(counted()).toMatchObject({ upstream_rq_timeout: 1, upstream_rq_5xx: 2, upstream_rq_completed: 5 });
  });

  it('say how many requests its limits refused, or found no endpoint', async () => {
    const { proxy } = await startOneCluster({ cluster: { circuit_breakers: { thresholds: [{ max_requests: 0 }] } } });
    const client = await proxy.client();
    client.send(request('/'));
    expect((await client.message()).head).toMatch(/^HTTP\/1\.1 503 /);
    const counts = proxy.dataPlane.clusters()[0]?.counts;
    expect(counts).toMatchObject({ pendingOverflow: 1, noneHealthy: 0, classes: [0, 0, 0, 0, 0, 1] });
  });

  it('are those of all clusters that share a name for them', async () => {
    const shared = { alt_stat_name: 'both', circuit_breakers: { thresholds: [{ max_requests: 0 }] } };
    const hcm = connectionManager(anyHost({ match: { prefix: '/a' }, route: { cluster: 'a' } }, route('/')));
    const clusters = ['a', 'c'].map((name) => cluster(name, [endpointOf(1)], shared));
    const proxy = await startProxy(dataPlaneConfig([listener('l', [{ filters: [hcm] }])], clusters));
    const client = await proxy.client();
    for (const path of ['/a', '/']) {
      client.send(request(path));
      await client.message();
    }
    const out = new PrometheusText();
    writeClusters(out, proxy.dataPlane);
    const lines = out.toString().split('\n');
    expect(lines.filter((line) => line.startsWith('envoy_cluster_upstream_rq_pending_overflow{'))).toEqual([
      'envoy_cluster_upstream_rq_pending_overflow{cluster_name="both"} 2',
    ]);
    expect(lines).toContain('envoy_cluster_upstream_rq_xx{cluster_name="both",envoy_response_code_class="5"} 2');
  });
});
