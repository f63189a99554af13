// What processes count is added up; what is the same in all of them is told once.

import { expect, it } from 'vitest';
import type { ClusterView, EndpointView, RequestMetricSeries } from '../data-plane.js';
import { ClusterCounts } from '../observe/cluster-counts.js';
import { createStats } from '../transport/data-path.js';
import { OutlierCounts } from '../upstream/outliers/outlier-detector.js';
import { addEnded, addUp } from './add-up.js';
import { type Observation, remains } from './observation.js';

function endpoint(port: number, rqTotal: number): EndpointView {
  return {
    ...{ address: '127.0.0.1', port, hostname: 'h', healthy: true, edsHealth: 'HEALTHY', ejected: false },
    ...{ failing: false, unchecked: false, checkTimedOut: false, weight: 5, priority: 0 },
    locality: { region: 'r', zone: '', subZone: '' },
    ...{
      cxActive: 2,
      cxTotal: 3,
      cxConnectFail: 1,
      rqActive: 1,
      rqTotal,
      rqSuccess: rqTotal,
      rqError: 0,
      rqTimeout: 0,
    },
  };
}

function clusterOf(name: string, ...endpoints: EndpointView[]): ClusterView {
  const counts = Object.assign(new ClusterCounts(name), { classes: [0, 0, 7, 0, 0, 1], retry: 4 });
  const outliers = Object.assign(new OutlierCounts(), { ejectionsActive: 1, ejectionsEnforcedTotal: 2 });
  const limits = { maxConnections: 10, maxPendingRequests: 10, maxRequests: 10, maxRetries: 3 };
  return { name, statName: name, ...limits, rqPending: 1, counts, outliers, health: undefined, endpoints };
}

function series(code: string, requestsTotal: number): RequestMetricSeries {
  const histogram = { count: requestsTotal, sum: 2, buckets: [0, requestsTotal] };
  return {
    labels: { response_code: code },
    statsConfig: { metrics: [] },
    ...{ requestsTotal, requestMessagesTotal: 0, responseMessagesTotal: 0 },
    ...{ durationMs: histogram, requestBytes: histogram, responseBytes: histogram },
  };
}

function observation(index: number, more: Partial<Observation> = {}): Observation {
  const stats = { ...createStats(), downstreamRqTotal: 10, downstreamCxActive: 3, configApplied: 5 };
  return {
    index,
    pid: index,
    usage: { residentBytes: 100, cpuSeconds: 1 },
    stats: { ...stats, rqByFlag: index === 0 ? { UH: 1 } : { UH: 2, UF: 3 } },
    listeners: [{ name: 'l', state: 'active', addresses: [], connections: 3 }],
    clusters: [clusterOf('c', endpoint(1, 4))],
    ...{
      requests: [series('200', 6)],
      connections: [],
      routes: [],
      limitServices: [],
      rbac: [],
      authorizers: [],
      tokenChecks: [],
    },
    rateLimits: [{ statPrefix: 'p', enabled: 1, enforced: 1, ok: 1, rateLimited: 1 }],
    dropped: new Map([['/dev/stdout', 1]]),
    auditDropped: new Map(),
    ...more,
  };
}

it('adds counters and gauges of living processes', () => {
  const two = observation(1, { requests: [series('200', 1), series('503', 2)] });
  const { dataPlane, usage, lostLines } = addUp([observation(0), two], undefined);
  expect(dataPlane.stats).toMatchObject({ downstreamRqTotal: 20, downstreamCxActive: 6, rqByFlag: { UH: 3, UF: 3 } });
  expect(dataPlane.stats).toMatchObject({ configApplied: 5, downstreamCxTlsRefused: { no_cert: 0 } });
  expect(dataPlane.listeners()).toMatchObject([{ name: 'l', connections: 6 }]);
  expect(
    [...dataPlane.metricSeries()].map(({ labels, requestsTotal }) => [labels.response_code, requestsTotal]),
  ).toEqual([
    ['200', 7],
    ['503', 2],
  ]);
  expect([...dataPlane.metricSeries()][0]!.durationMs).toEqual({ count: 7, sum: 4, buckets: [0, 7] });
  expect(dataPlane.rateLimits()).toEqual([{ statPrefix: 'p', enabled: 2, enforced: 2, ok: 2, rateLimited: 2 }]);
  const [cluster] = dataPlane.clusters();
  expect(cluster).toMatchObject({
    maxConnections: 10,
    rqPending: 2,
    counts: { classes: [0, 0, 14, 0, 0, 2], retry: 8 },
  });
  expect(cluster!.outliers).toMatchObject({ ejectionsActive: 1, ejectionsEnforcedTotal: 4 });
  expect(cluster!.endpoints).toMatchObject([{ weight: 5, cxActive: 4, cxTotal: 6, rqActive: 2, rqTotal: 8 }]);
  expect(usage).toEqual({ residentBytes: 200, cpuSeconds: 2 });
  expect(lostLines.dropped).toEqual(new Map([['/dev/stdout', 2]]));
});

it('keeps what ended processes have counted, and nothing that was under way in them', () => {
  const left = remains(observation(1));
  const other = remains(observation(1, { clusters: [clusterOf('c', endpoint(1, 1), endpoint(2, 9)), clusterOf('d')] }));
  const seen = addUp([observation(0, { clusters: [clusterOf('c', endpoint(2, 1))] })], addEnded(left, other));
  expect(seen.dataPlane.stats).toMatchObject({ downstreamRqTotal: 30, downstreamCxActive: 3 });
  expect(seen.dataPlane.listeners()).toMatchObject([{ connections: 3 }]);
  expect(seen.dataPlane.clusters()).toMatchObject([
    { name: 'c', rqPending: 1, counts: { retry: 12 }, endpoints: [{ port: 2, rqTotal: 10, rqActive: 1, cxActive: 2 }] },
  ]);
  expect(seen.usage).toEqual({ residentBytes: 100, cpuSeconds: 3 });
});
