// Health checks: the states of an endpoint and its intervals against Envoy's rules; the bytes that are looked for.

import { fromEnvoyJson } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { describe, expect, it } from 'vitest';
import { type CheckResult, EndpointHealth } from './endpoint-health.js';
import { ExpectedBytes } from './expected-bytes.js';
import { healthSettings } from './health-settings.js';

describe('the state of an endpoint', () => {
  const settings = (more: object) =>
    healthSettings(
      fromEnvoyJson(ClusterSchema, {
        name: 'c',
        health_checks: [
          {
            timeout: '1s',
            interval: '10s',
            unhealthy_interval: '20s',
            unhealthy_edge_interval: '30s',
            healthy_edge_interval: '40s',
            no_traffic_interval: '50s',
            no_traffic_healthy_interval: '60s',
            unhealthy_threshold: 3,
            healthy_threshold: 2,
            http_health_check: { path: '/' },
            ...more,
          },
        ],
      }),
    )!;
  const WELL: CheckResult = { ok: true };
  const SILENT: CheckResult = { ok: false, kind: 'network', retriable: true, reason: '' };
  const RETRIABLE: CheckResult = { ok: false, kind: 'active', retriable: true, reason: '' };
  const FINAL: CheckResult = { ok: false, kind: 'active', retriable: false, reason: '' };

  /** Each result with whether the endpoint is failing afterwards, and the seconds until it is asked again. */
  function run(health: EndpointHealth, results: readonly CheckResult[], hasTraffic = true): [boolean, number][] {
    return results.map((result) => {
      const transition = health.add(result);
      return [health.failing, health.nextCheckInMs(result, transition, hasTraffic, () => 0) / 1000];
    });
  }

  it('is healthy by one success at first, later by as many as the threshold says', () => {
    const health = new EndpointHealth(settings({}), true, false);
    expect(run(health, [WELL, SILENT, RETRIABLE, WELL, SILENT, SILENT, SILENT, SILENT, WELL, WELL, WELL])).toEqual([
      [false, 10],
      [false, 30],
      [false, 30],
      [false, 10],
      [false, 30],
      [false, 30],
      [true, 20],
      [true, 20],
      [true, 40],
      [false, 10],
      [false, 10],
    ]);
  });

  it('is unhealthy at once by an answer that does not count for the threshold', () => {
    const health = new EndpointHealth(settings({}), true, false);
    expect(run(health, [WELL, FINAL, SILENT, WELL, SILENT, WELL])).toEqual([
      [false, 10],
      [true, 20],
      [true, 20],
      [true, 40],
      [true, 20],
      [true, 40],
    ]);
  });

  it('stays unhealthy by a first failure, and needs the whole threshold then', () => {
    const health = new EndpointHealth(settings({}), true, false);
    expect(run(health, [SILENT, WELL, WELL])).toEqual([
      [true, 20],
      [true, 40],
      [false, 10],
    ]);
  });

  it('is asked at other intervals as long as nobody calls, with jitter', () => {
    const health = new EndpointHealth(settings({ interval_jitter_percent: 10, interval_jitter: '2s' }), true, false);
    expect(run(health, [WELL, SILENT], false)).toEqual([
      [false, 60],
      [false, 50],
    ]);
    expect(health.nextCheckInMs(WELL, 'unchanged', true, () => 0.5)).toBe(10_000 + 500 + 1_000);
  });
});

describe('expected bytes', () => {
  it('are found in their order, in any pieces, with anything between', () => {
    const parts = [Buffer.from('+PONG'), Buffer.from('\r\n')];
    const bytes = Buffer.from('x+PO+PONG ok\r\n');
    for (let cut = 0; cut <= bytes.length; cut++) {
      const expected = new ExpectedBytes(parts);
      expected.add(bytes.subarray(0, cut));
      expect(expected.complete).toBe(cut === bytes.length);
      expected.add(bytes.subarray(cut));
      expect(expected.complete).toBe(true);
    }
    const reversed = new ExpectedBytes(parts);
    reversed.add(Buffer.from('\r\n+PONG'));
    expect(reversed.complete).toBe(false);
    expect(new ExpectedBytes([]).complete).toBe(true);
  });
});
