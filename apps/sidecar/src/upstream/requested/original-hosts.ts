// Original destination: the endpoints of such a cluster, one for each place that connections were opened to.

import { isIP } from 'node:net';
import { NO_HEALTHY_UPSTREAM } from '../../exchange/local-reply.js';
import type { DataPath } from '../../transport/data-path.js';
import { canonicalAddress, type Destination } from '../../transport/system/original-destination.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import type { UpstreamCluster } from '../upstream-cluster.js';
import type { FoundHost } from './forward-hosts.js';
import type { OriginalSettings } from './original-settings.js';
import type { AskedHost, HostFinder, RequestedEndpoints } from './requested-endpoints.js';

/** It lives as long as the cluster's message. */
export class OriginalHosts implements HostFinder, TimerOwner {
  private readonly timer = new Timer(this, 0);
  /** Clean-ups are not nearer to each other than what they look for. */
  private lastCleanupMs = 0;

  constructor(
    private readonly path: DataPath,
    private readonly cluster: UpstreamCluster,
    private readonly endpoints: RequestedEndpoints,
  ) {}

  private get settings(): OriginalSettings {
    return this.cluster.original!;
  }

  find(asked: AskedHost): FoundHost {
    const destination = this.destinationOf(asked);
    if (destination === undefined) return NO_HEALTHY_UPSTREAM;
    const nowMs = Date.now();
    const { address, port } = destination;
    const found = this.endpoints.get('', address, this.settings.port ?? port, nowMs);
    if (found === undefined) return NO_HEALTHY_UPSTREAM;
    if (!this.timer.armed) {
      this.lastCleanupMs = nowMs;
      this.path.wheel.schedule(this.timer, this.settings.cleanupMs);
    }
    return found;
  }

  /** Who neither has been used since the last time nor has a connection is forgotten. */
  onTimer(): void {
    const nowMs = Date.now();
    let kept = 0;
    for (const endpoint of this.endpoints.all()) {
      if (endpoint.requestedAtMs > this.lastCleanupMs || endpoint.connectionCount > 0) kept++;
      else this.endpoints.retire(endpoint, nowMs);
    }
    this.lastCleanupMs = nowMs;
    const inUse = this.path.forwardHosts[this.cluster.slot] === this;
    if (inUse && kept > 0) this.path.wheel.schedule(this.timer, this.settings.cleanupMs);
  }

  /** As in Envoy a header that names no address leaves nowhere to go to. */
  private destinationOf(asked: AskedHost): Destination | undefined {
    const { header } = this.settings;
    const named = header === undefined ? undefined : asked.header(header);
    return named === undefined ? asked.destination() : readDestination(named);
  }
}

/** `IP:PORT`; IPv6 addresses stand in brackets. */
function readDestination(text: string): Destination | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text.trim());
  const address = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (isIP(address) === 0 || !(port >= 1 && port <= 65_535)) return undefined;
  return { address: canonicalAddress(address), port };
}
