// Tests: a running data path with upstreams, and everything closed after each test.

import { afterEach } from 'vitest';
import type { AccessLogRecord, DataPlane, DataPlaneConfig, DataPlaneOptions } from '../data-plane.js';
import { createDataPlane } from '../pipeline.js';
import type { DataPath } from '../transport/data-path.js';
import { Timer } from '../transport/timer-wheel.js';
import { testNode } from './envoy-config.js';
import { connectRaw, type RawConnection, RawUpstream } from './raw-peers.js';

export interface ProxyFixture {
  readonly dataPlane: DataPlane;
  /** Port of the first address of a listener. */
  port(listener?: string): number;
  client(listener?: string): Promise<RawConnection>;
}

export type LoggedRequest = Pick<
  AccessLogRecord,
  | 'method'
  | 'path'
  | 'responseCode'
  | 'responseFlags'
  | 'responseCodeDetails'
  | 'bytesReceived'
  | 'bytesSent'
  | 'upstreamHost'
>;

const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export async function startUpstream(port = 0): Promise<RawUpstream> {
  const upstream = await RawUpstream.start(port);
  cleanups.push(() => upstream.stop());
  return upstream;
}

export async function startProxy(
  config: DataPlaneConfig,
  options: Partial<DataPlaneOptions> = {},
): Promise<ProxyFixture> {
  const dataPlane = await createDataPlane({ node: testNode(), ...options });
  const clients: RawConnection[] = [];
  cleanups.push(async () => {
    for (const { socket } of clients) socket.destroy();
    await dataPlane.close();
  });
  await dataPlane.apply(config);
  const port = (name?: string): number => {
    const views = dataPlane.listeners().filter((view) => view.state === 'active');
    const view = name === undefined ? views[0] : views.find((each) => each.name === name);
    const bound = view?.addresses[0];
    if (bound === undefined) throw new Error(`no listener ${name ?? ''}`);
    return bound.port;
  };
  return {
    dataPlane,
    port,
    client: async (name) => {
      const client = await connectRaw(port(name));
      clients.push(client);
      return client;
    },
  };
}

/** What the parts of a running data path share. */
export function pathOf({ dataPlane }: ProxyFixture): DataPath {
  return (dataPlane as unknown as { readonly path: DataPath }).path;
}

/** Lets so much time be over for the timers of the data path, and waits until those that are due have fired. */
export async function passTime(proxy: ProxyFixture, milliseconds: number): Promise<void> {
  const { wheel } = pathOf(proxy);
  const clock = wheel as unknown as { nowMs: () => number };
  const { nowMs } = clock;
  await new Promise<void>((resolve) => {
    // The wheel looks at the clock when a timer is due.
    wheel.schedule(new Timer({ onTimer: () => resolve() }, 0), 0);
    clock.nowMs = () => nowMs() + milliseconds;
  });
}

/** A sink that gathers what an access log would show. */
export function requestLog(): { readonly requests: LoggedRequest[]; readonly options: Partial<DataPlaneOptions> } {
  const requests: LoggedRequest[] = [];
  return {
    requests,
    options: {
      createAccessLogSink: () => (record) => {
        const {
          method,
          path,
          responseCode,
          responseFlags,
          responseCodeDetails,
          bytesReceived,
          bytesSent,
          upstreamHost,
        } = record;
        requests.push({
          method,
          path,
          responseCode,
          responseFlags,
          responseCodeDetails,
          bytesReceived,
          bytesSent,
          upstreamHost,
        });
      },
    },
  };
}
