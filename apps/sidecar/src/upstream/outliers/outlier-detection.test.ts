// Outlier detection: counting against a plain reference, ejection under load, and what is told of it.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fromJson } from '@bufbuild/protobuf';
import { OutlierDetectionSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/outlier_detection_pb.js';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../../testing/envoy-config.js';
import { startProxy } from '../../testing/proxy-fixture.js';
import { eventually } from '../../testing/raw-peers.js';
import { OutlierMonitor } from './outlier-monitor.js';
import { type OutlierKind, outlierSettings } from './outlier-settings.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const OFF = { enforcing_success_rate: 0 };
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A server whose answers can be changed; its port. */
async function startServer(status: number): Promise<{ readonly port: number; status: number }> {
  const self = { port: 0, status };
  const server = createServer((_request, response) => response.writeHead(self.status).end());
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  self.port = (server.address() as AddressInfo).port;
  return self;
}

async function start(ports: readonly number[], outliers: object, more: object = {}) {
  const logged: { readonly message: string; readonly fields: Record<string, unknown> }[] = [];
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')))] }])],
    [
      cluster(
        'c',
        ports.map((port) => endpointOf(port)),
        { outlier_detection: { ...OFF, ...outliers }, common_lb_config: { healthy_panic_threshold: {} }, ...more },
      ),
    ],
  );
  const proxy = await startProxy(config, { log: (_level, message, fields) => logged.push({ message, fields }) });
  const view = () => proxy.dataPlane.clusters().find(({ name }) => name === 'c')!;
  return { proxy, logged, view };
}

describe('counting', () => {
  const LIMITS = { consecutive_5xx: 3, consecutive_gateway_failure: 2, consecutive_local_origin_failure: 4 };
  type Event = number | 'connected' | 'cut' | 'late';

  /** The events in a row, looked at from each point backwards. */
  function reference(events: readonly Event[], split: boolean): [number, OutlierKind][] {
    const found: [number, OutlierKind][] = [];
    const status = (event: Event) => (event === 'cut' ? 503 : event === 'late' ? 504 : event);
    const isLocal = (event: Event) => event === 'cut' || event === 'late';
    events.forEach((event, index) => {
      const before = events.slice(0, index + 1).reverse();
      const row = (list: readonly Event[], counts: (event: Event) => boolean) => {
        const end = list.findIndex((each) => !counts(each));
        return end < 0 ? list.length : end;
      };
      if (split && isLocal(event)) {
        // Answers come over connections that were made before: they say nothing here.
        const local = before.filter((each) => typeof each !== 'number');
        if (row(local, isLocal) === LIMITS.consecutive_local_origin_failure) {
          found.push([index, 'consecutive_local_origin_failure']);
        }
        return;
      }
      if (event === 'connected') return;
      const answers = before.filter((each) => each !== 'connected' && !(split && isLocal(each)));
      const gateway = row(answers, (each) => [502, 503, 504].includes(Number(status(each))));
      if (gateway === LIMITS.consecutive_gateway_failure) found.push([index, 'consecutive_gateway_failure']);
      const server = row(answers, (each) => Number(status(each)) >= 500);
      if (server === LIMITS.consecutive_5xx) found.push([index, 'consecutive_5xx']);
    });
    return found;
  }

  it('finds the same errors in a row as a plain reference', () => {
    const event = fc.constantFrom<Event>(200, 404, 500, 502, 503, 504, 'connected', 'cut', 'late');
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), fc.boolean(), (events, split) => {
        const config = fromJson(OutlierDetectionSchema, {
          consecutive_5xx: LIMITS.consecutive_5xx,
          consecutive_gateway_failure: LIMITS.consecutive_gateway_failure,
          consecutive_local_origin_failure: LIMITS.consecutive_local_origin_failure,
          split_external_local_origin_errors: split,
        });
        const found: [number, OutlierKind][] = [];
        let index = 0;
        const monitor = new OutlierMonitor(0, '', outlierSettings(config)!, {
          onLimit: (_monitor, kind) => found.push([index, kind]),
          onPassedCheck: () => {},
        });
        for (const each of events) {
          if (each === 'connected') monitor.connected();
          else if (typeof each === 'number') monitor.answered(each, -1);
          else monitor.failedLocally(each === 'late');
          index++;
        }
        expect(found).toEqual(reference(events, split));
      }),
      { numRuns: 500 },
    );
  });

  it('takes the status of gRPC for the one that it stands for', () => {
    const found: OutlierKind[] = [];
    const monitor = new OutlierMonitor(
      0,
      '',
      outlierSettings(fromJson(OutlierDetectionSchema, { consecutive_5xx: 2 }))!,
      {
        onLimit: (_monitor, kind) => found.push(kind),
        onPassedCheck: () => {},
      },
    );
    monitor.answered(200, 14);
    monitor.answered(200, 5);
    monitor.answered(200, 14);
    expect(found).toEqual([]);
    monitor.answered(200, 13);
    expect(found).toEqual(['consecutive_5xx']);
  });
});

describe('ejection', () => {
  it('costs no more errors than the limit and what was in flight, at a thousand requests a second', async () => {
    const [good, bad, third] = [await startServer(200), await startServer(503), await startServer(200)];
    const LIMIT = 5;
    const CLIENTS = 16;
    const { proxy, view, logged } = await start([good.port, bad.port, third.port], {
      consecutive_5xx: LIMIT,
      max_ejection_percent: 50,
    });
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => proxy.client()));
    const REQUESTS = 1000;
    let sent = 0;
    let errors = 0;
    await Promise.all(
      clients.map(async (client) => {
        while (sent < REQUESTS) {
          sent++;
          client.send(GET);
          if ((await client.message()).head.startsWith('HTTP/1.1 503')) errors++;
        }
      }),
    );
    expect(errors).toBeGreaterThanOrEqual(LIMIT);
    // In flight to it: at most one for each client.
    expect(errors).toBeLessThanOrEqual(LIMIT + CLIENTS);
    const { outliers, endpoints } = view();
    expect(outliers).toMatchObject({ ejectionsActive: 1, ejectionsEnforcedTotal: 1 });
    expect(endpoints.map(({ port, ejected }) => [port, ejected])).toEqual([
      [good.port, false],
      [bad.port, true],
      [third.port, false],
    ]);
    expect(logged).toContainEqual({
      message: 'ejected an endpoint',
      fields: {
        cluster: 'c',
        endpoint: `127.0.0.1:${bad.port}`,
        reason: 'consecutive_5xx',
        ejected_for_ms: 30_000,
        ejections_active: 1,
      },
    });
  });

  it('ends after its time, and takes longer the next time', async () => {
    const upstream = await startServer(503);
    const { proxy, view, logged } = await start([upstream.port], {
      consecutive_5xx: 1,
      max_ejection_percent: 100,
      interval: '0.05s',
      base_ejection_time: '0.1s',
    });
    const client = await proxy.client();
    const ask = async () => {
      client.send(GET);
      return (await client.message()).head.slice(9, 12);
    };
    expect(await ask()).toBe('503');
    expect(view().endpoints[0]!.ejected).toBe(true);
    await eventually(() => !view().endpoints[0]!.ejected, 'the endpoint is back');
    expect(await ask()).toBe('503');
    upstream.status = 200;
    await eventually(() => !view().endpoints[0]!.ejected, 'the endpoint is back again');
    expect(await ask()).toBe('200');
    const times = logged.filter(({ message }) => message === 'ejected an endpoint');
    expect(times.map(({ fields }) => fields.ejected_for_ms)).toEqual([100, expect.toBeOneOf([100, 200])]);
    expect(logged.filter(({ message }) => message === 'took an endpoint back')).toHaveLength(2);
    expect(view().outliers).toMatchObject({ ejectionsActive: 0, ejectionsEnforcedTotal: 2 });
  });

  it('needs room under max_ejection_percent, and counts what it left', async () => {
    const [first, second] = [await startServer(503), await startServer(503)];
    const { proxy, view } = await start([first.port, second.port], { consecutive_5xx: 1, max_ejection_percent: 50 });
    const client = await proxy.client();
    for (let sent = 0; sent < 6; sent++) {
      client.send(GET);
      await client.message();
    }
    expect(view().endpoints.filter(({ ejected }) => ejected)).toHaveLength(1);
    expect(view().outliers!.ejectionsOverflow).toBeGreaterThan(0);
  });
});
