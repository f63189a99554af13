// Upstream: endpoints of clusters that leave it to requests and connections where they go: in no table, made when first asked for.

import { create } from '@bufbuild/protobuf';
import {
  type LbEndpoint,
  LbEndpointSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { DataPath } from '../../transport/data-path.js';
import type { Destination } from '../../transport/system/original-destination.js';
import { Endpoint } from '../endpoint.js';
import type { UpstreamCluster } from '../upstream-cluster.js';
import type { UpstreamTransport } from '../upstream-transport.js';
import type { FoundHost } from './forward-hosts.js';

/** What is known of who asks a cluster where it goes. */
export interface AskedHost {
  /** HOST or HOST:PORT as the request says it, or the client's handshake; empty where neither does. */
  authority(): string;
  /** Where the client opened its connection to, where that is known: it was intercepted. */
  destination(): Destination | undefined;
  /** A header of the request, its name in lower case. */
  header(name: string): string | undefined;
}

/** A cluster that leaves it to requests where they go. */
export interface HostFinder {
  find(asked: AskedHost): FoundHost | Promise<FoundHost>;
}

export class RequestedEndpoints {
  constructor(
    private readonly path: DataPath,
    private readonly cluster: UpstreamCluster,
    private readonly transportOf: (endpoint: LbEndpoint) => UpstreamTransport,
  ) {}

  /** The same place has the same endpoint, as long as it is not retired. Undefined where there is no room for another one. */
  get(hostname: string, address: string, port: number, nowMs: number): Endpoint | undefined {
    const { path, cluster } = this;
    const config = lbEndpoint(hostname, address, port);
    const description = path.tables.addEndpoint(cluster.slot, address, port, config, nowMs);
    if (description === undefined) return undefined;
    const known = path.endpoints[description.slot];
    if (known?.address === address && known.port === port && known.cluster.name === cluster.name) {
      known.requestedAtMs = nowMs;
      if (!known.live) known.update(cluster, this.transportOf(config), config);
      return known;
    }
    const endpoint = new Endpoint(path, description.slot, address, port, cluster, this.transportOf(config));
    endpoint.requestedAtMs = nowMs;
    endpoint.config = config;
    path.endpoints[description.slot] = endpoint;
    return endpoint;
  }

  /** Those that were asked for, and are still there. */
  *all(): Iterable<Endpoint> {
    for (const endpoint of this.path.endpoints) {
      if (endpoint?.live !== true || endpoint.cluster.name !== this.cluster.name) continue;
      if (endpoint.requestedAtMs !== 0) yield endpoint;
    }
  }

  retire(endpoint: Endpoint, nowMs: number): void {
    endpoint.live = false;
    endpoint.retireIdle();
    const { address, port } = endpoint;
    this.path.tables.removeEndpoint({ clusterName: this.cluster.name, address, port }, nowMs);
  }
}

function lbEndpoint(hostname: string, address: string, port: number): LbEndpoint {
  return create(LbEndpointSchema, {
    hostIdentifier: {
      case: 'endpoint',
      value: {
        hostname,
        address: {
          address: { case: 'socketAddress', value: { address, portSpecifier: { case: 'portValue', value: port } } },
        },
      },
    },
  });
}
