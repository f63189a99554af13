// Metrics: Istio's labels, buckets and overrides.

import { ISTIO_HISTOGRAM_BUCKETS, ISTIO_LABELS } from '@lateen/telemetry';
import { describe, expect, it } from 'vitest';
import type { HistogramView, RequestMetricSeries } from '../data-plane.js';
import { writeIstioMetrics } from './istio-metrics.js';
import { formatLabels, PrometheusText } from './prometheus-text.js';

/** All values ≤ the first bound. */
function histogram(count: number, sum: number): HistogramView {
  return { count, sum, buckets: [...ISTIO_HISTOGRAM_BUCKETS.map(() => count), count] };
}

function series(labels: Record<string, string>, requestsTotal: number, statsConfig: unknown = {}): RequestMetricSeries {
  const all = Object.fromEntries(ISTIO_LABELS.map((label) => [label, labels[label] ?? 'unknown']));
  const empty = histogram(requestsTotal, requestsTotal * 2);
  return {
    labels: all,
    statsConfig,
    requestsTotal,
    requestMessagesTotal: 2 * requestsTotal,
    responseMessagesTotal: 3 * requestsTotal,
    durationMs: empty,
    requestBytes: empty,
    responseBytes: empty,
  };
}

async function write(...all: RequestMetricSeries[]): Promise<string[]> {
  const out = new PrometheusText();
  await writeIstioMetrics(out, all);
  return out.toString().split('\n');
}

const total = (lines: readonly string[]) => lines.filter((line) => line.startsWith('istio_requests_total{'));

describe('writeIstioMetrics', () => {
  it('writes all labels in their order, and histograms with their buckets', async () => {
    const lines = await write(series({ reporter: 'source', response_code: '200' }, 3));
    const [line] = total(lines);
    expect([...(line ?? '').matchAll(/([a-z_]+)="/g)].map(([, name]) => name)).toEqual([...ISTIO_LABELS]);
    expect(line?.endsWith('} 3')).toBe(true);
    expect(lines.filter((text) => text.startsWith('istio_request_bytes_bucket'))).toHaveLength(20);
    expect(
      lines.find((text) => text.includes('istio_request_duration_milliseconds_bucket') && text.includes('le="0.5"')),
    ).toMatch(/ 3$/);
    expect(lines.some((text) => /^istio_response_bytes_sum\{.*\} 6$/.test(text))).toBe(true);
  });

  it('leaves out metrics that are not wanted, and does not even gather their series', async () => {
    const out = new PrometheusText('requests_total');
    await writeIstioMetrics(out, [series({ response_code: '200' }, 3)]);
    expect(out.toString().match(/^istio_\w+/gm)).toEqual(['istio_requests_total']);
    const none = new PrometheusText('envoy_');
    const gathered = {
      [Symbol.iterator]: () => {
        throw new Error('gathered');
      },
    };
    await writeIstioMetrics(none, gathered);
    expect(none.toString()).toBe('');
  });

  it('writes the messages of gRPC, and of nothing else', async () => {
    const [http, grpc] = ['http', 'grpc'].map((protocol) => series({ request_protocol: protocol }, 2));
    const lines = (await write(http!, grpc!)).filter((line) => line.includes('_messages_total{'));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^istio_request_messages_total\{.*request_protocol="grpc".*\} 4$/);
    expect(lines[1]).toMatch(/^istio_response_messages_total\{.*request_protocol="grpc".*\} 6$/);
  });

  it("yields the destination's name for the handbook's override of all metrics", async () => {
    const stats = { metrics: [{ dimensions: { destination_service: 'destination_service_name' } }] };
    const labels = { destination_service: 'reviews.default.svc.cluster.local', destination_service_name: 'reviews' };
    const lines = await write(series(labels, 1, stats));
    expect(total(lines)[0]).toContain('destination_service="reviews"');
    expect(lines.find((line) => line.startsWith('istio_request_bytes_sum'))).toContain('destination_service="reviews"');
  });

  it.each([
    ['request.host', 'unknown'],
    ['no_such_thing', 'unknown'],
    ['"fixed"', 'fixed'],
    ['reporter + "-" + response_code', 'source-200'],
    ['reporter == "source" ? "out" : "in"', 'out'],
    ['this is not CEL', 'unknown'],
    ['1 + 1', '2'],
  ])('evaluates %s to %s', async (expression, value) => {
    const stats = { metrics: [{ name: 'requests_total', dimensions: { source_app: expression, extra: expression } }] };
    const lines = await write(series({ reporter: 'source', response_code: '200' }, 1, stats));
    expect(total(lines)[0]).toContain(`source_app="${value}"`);
    expect(total(lines)[0]).toContain(`extra="${value}"`);
    expect(lines.find((line) => line.startsWith('istio_request_bytes_sum'))).toContain('source_app="unknown"');
  });

  it('removes tags, adds up what becomes equal, and drops metrics', async () => {
    const stats = {
      metrics: [{ tags_to_remove: ['response_code'] }, { name: 'response_bytes', drop: true }],
    };
    const lines = await write(series({ response_code: '200' }, 2, stats), series({ response_code: '503' }, 5, stats));
    expect(total(lines)).toHaveLength(1);
    expect(total(lines)[0]).toMatch(/ 7$/);
    expect(total(lines)[0]).not.toContain('response_code=');
    expect(lines.some((line) => line.includes('istio_response_bytes'))).toBe(false);
    expect(lines.some((line) => /^istio_request_bytes_count\{.*\} 7$/.test(line))).toBe(true);
  });
});

it('escapes label values', () => {
  expect(formatLabels([['a', 'x"y\\z\n']])).toBe('a="x\\"y\\\\z\\n"');
});
