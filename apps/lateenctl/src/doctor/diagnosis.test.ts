// Doctor: a fact that is wrong for each cause, and no cause where nothing is wrong.

import type { Finding } from '@lateen/analysis';
import { describe, expect, test } from 'vitest';
import { diagnose, type Question } from './diagnosis.js';
import type { DoctorFacts, LatencyFacts, PodFacts } from './facts.js';
import { latencyFacts } from './metrics-facts.js';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const HOUR_MS = 3_600_000;
const POD: PodFacts = {
  name: 'reviews-1',
  namespace: 'shop',
  labels: { app: 'reviews' },
  injection: {
    injected: true,
    code: 'namespace-label',
    reason: 'namespace shop has the label istio-injection=enabled',
  },
  hasProxy: true,
  ready: true,
  waiting: [],
  proxy: [{ type: 'CDS', status: 'SYNCED' }],
  tls: [{ host: 'ratings', status: 'OK', server: ['PERMISSIVE'], client: 'ISTIO_MUTUAL', destinationRule: '' }],
  certificateEndsMs: NOW + 20 * HOUR_MS,
  latency: { served: { requests: 1000, failed: 0, meanMs: 4, p99Ms: 10 }, called: [], counters: [] },
};

function causes(question: Question, pod: Partial<PodFacts> | undefined, findings: readonly Finding[] = []): string[] {
  const pods = pod === undefined ? [] : [{ ...POD, ...pod }];
  const facts: DoctorFacts = {
    subject: 'pod shop/reviews-1',
    host: undefined,
    pods,
    findings,
    unknown: [],
    nowMs: NOW,
  };
  const [answer] = diagnose(facts, [question]);
  for (const { remedy } of answer!.causes) expect(remedy.length).toBeGreaterThan(10);
  return answer!.causes.map(({ cause }) => cause);
}

const finding = (code: Finding['code'], message: string): Finding => ({
  code,
  name: '',
  level: 'Error',
  kind: 'VirtualService',
  namespace: 'shop',
  resource: 'reviews',
  file: 'a.yaml',
  line: 1,
  column: 1,
  path: 'spec',
  message,
});

test.each(['injection', 'routing', 'mtls', 'latency'] as const)('nothing is wrong: %s', (question) => {
  expect(causes(question, {})).toEqual([]);
});

const busy = (latency: Partial<LatencyFacts>): Partial<PodFacts> => ({ latency: { ...POD.latency!, ...latency } });
const counted = (name: string) => busy({ counters: [{ cluster: 'outbound|9080||ratings', name, value: 50 }] });
const slow = { requests: 1000, failed: 0, meanMs: 400, p99Ms: 1000 };
const conflict = {
  host: 'ratings',
  status: 'CONFLICT',
  server: ['STRICT'],
  client: 'DISABLE',
  authnPolicy: 'shop/default',
  destinationRule: 'shop/ratings',
};

describe('a cause is found', () => {
  test.each<[string, Question, Partial<PodFacts> | undefined, RegExp]>([
    ['no pod', 'injection', undefined, /it has no pod/],
    [
      'not injected',
      'injection',
      { hasProxy: false, injection: { injected: false, code: 'nobody-asks', reason: 'namespace shop has no label' } },
      /gets no proxy: namespace shop has no label/,
    ],
    [
      'on the network of its node',
      'injection',
      {
        hasProxy: false,
        injection: { injected: false, code: 'host-network', reason: 'it uses the network of its node' },
      },
      /uses the network of its node/,
    ],
    ['older than the label', 'injection', { hasProxy: false }, /has no proxy, though it would get one now/],
    [
      'an image that is not there',
      'injection',
      { ready: false, waiting: ['container istio-proxy waits: ImagePullBackOff'] },
      /ImagePullBackOff/,
    ],
    [
      'rules that could not be written',
      'injection',
      { ready: false, waiting: ['container istio-init waits: CrashLoopBackOff'] },
      /istio-init waits/,
    ],
    ['not ready', 'injection', { ready: false }, /is not ready/],
    ['a caller without a proxy', 'routing', { hasProxy: false }, /has no proxy, and routes are decided by the caller/],
    [
      'a refused push',
      'routing',
      { proxy: [{ type: 'RDS', status: 'NACK', error: 'no such cluster' }] },
      /refuses RDS: no such cluster/,
    ],
    [
      'a push that was not taken yet',
      'routing',
      { proxy: [{ type: 'LDS', status: 'STALE' }] },
      /has not taken LDS yet/,
    ],
    ['a proxy that is not connected', 'routing', { proxy: [] }, /is not connected to Pilot/],
    [
      'plain text to STRICT',
      'mtls',
      { tls: [conflict] },
      /sends DISABLE, and STRICT is taken \(PeerAuthentication shop\/default and DestinationRule shop\/ratings\)/,
    ],
    ['a certificate that has ended', 'mtls', { certificateEndsMs: NOW - HOUR_MS }, /has ended 2025-12-31T23/],
    [
      'a clock that is wrong',
      'mtls',
      { certificateEndsMs: NOW + 500 * 24 * HOUR_MS },
      /clock of its node may be wrong/,
    ],
    ['no certificate at all', 'mtls', { hasProxy: false }, /no proxy and so no certificate/],
    [
      'a slow application',
      'latency',
      busy({ served: slow }),
      /takes its time itself: 400 ms on average, 99 of 100 within 1000 ms/,
    ],
    [
      'a slow service behind it',
      'latency',
      busy({ served: slow, called: [{ ...slow, service: 'ratings.shop.svc.cluster.local', meanMs: 380 }] }),
      /most of which it waits for ratings\.shop/,
    ],
    ['retries', 'latency', counted('upstream_rq_retry'), /requests are sent again \(50 at outbound/],
    ['requests refused', 'latency', counted('upstream_rq_pending_overflow'), /too many wait \(UO\)/],
    ['connections refused', 'latency', counted('upstream_cx_overflow'), /since there are too many/],
    ['connections that fail', 'latency', counted('upstream_cx_connect_fail'), /connections fail/],
    ['time limits', 'latency', counted('upstream_rq_timeout'), /time limit \(UT\)/],
    ['ejected endpoints', 'latency', counted('ejections_active'), /are ejected/],
  ])('%s', (_what, question, pod, words) => {
    expect(causes(question, pod)).toContainEqual(expect.stringMatching(words));
  });

  test.each<[Question, Finding['code']]>([
    ['injection', 'LAT0010'],
    ['routing', 'LAT0003'],
    ['mtls', 'LAT0001'],
    ['latency', 'LAT0008'],
  ])('%s: a finding of analyze (%s)', (question, code) => {
    const found = causes(question, {}, [finding(code, 'it has no effect; correct the name')]);
    expect(found).toEqual([`VirtualService shop/reviews spec: it has no effect [${code}]`]);
  });

  test('a few retries of many requests are not worth a word', () => {
    expect(causes('latency', busy({ counters: [{ cluster: 'x', name: 'upstream_rq_retry', value: 3 }] }))).toEqual([]);
  });
});

test('times are read off the metrics of a proxy', () => {
  const labels = (reporter: string, service: string) => `reporter="${reporter}",destination_service="${service}"`;
  const histogram = (reporter: string, service: string, counts: readonly number[], sum: number) =>
    [5, 50, 500, '+Inf']
      .map(
        (le, index) =>
          `istio_request_duration_milliseconds_bucket{${labels(reporter, service)},le="${le}"} ${counts[index]}`,
      )
      .concat([
        `istio_request_duration_milliseconds_sum{${labels(reporter, service)}} ${sum}`,
        `istio_request_duration_milliseconds_count{${labels(reporter, service)}} ${counts[3]}`,
      ])
      .join('\n');
  const facts = latencyFacts(
    `${histogram('destination', 'reviews', [10, 98, 100, 100], 2000)}\n${histogram('source', 'ratings', [40, 40, 40, 40], 80)}\n` +
      `istio_requests_total{${labels('destination', 'reviews')},response_code="503"} 7\n` +
      'envoy_cluster_upstream_rq_retry{envoy_cluster_name="outbound|9080||ratings"} 5\nenvoy_cluster_upstream_rq_timeout{envoy_cluster_name="x"} 0\n# HELP x\n',
  );
  expect(facts).toEqual({
    served: { requests: 100, failed: 7, meanMs: 20, p99Ms: 500 },
    called: [{ service: 'ratings', requests: 40, failed: 0, meanMs: 2, p99Ms: 5 }],
    counters: [{ cluster: 'outbound|9080||ratings', name: 'upstream_rq_retry', value: 5 }],
  });
});
