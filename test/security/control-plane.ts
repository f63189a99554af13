// Security tests: a control plane made of this repository's ADS server, which sends whatever resources a test wants.

import type { DescMessage } from '@bufbuild/protobuf';
import { fromEnvoyJson, packAny, TYPE_URL } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { type ControlPlane as ServingControlPlane, startControlPlane } from '../harness/control-plane.js';
import type { Json } from './proxy-under-test.js';

/** Resources as Envoy's JSON, by name. */
export interface Served {
  readonly listeners: readonly Json[];
  readonly clusters: readonly Json[];
  readonly routes: readonly Json[];
}

type Resources = ReadonlyMap<string, { version: string; any: ReturnType<typeof packAny> }>;

function pack(schema: DescMessage, items: readonly Json[]): Resources {
  return new Map(
    items.map((item) => [
      String(item.name),
      {
        version: JSON.stringify(item),
        any: packAny(schema, fromEnvoyJson(schema, JSON.parse(JSON.stringify(item)) as never)),
      },
    ]),
  );
}

export class ControlPlane {
  private version = 0;

  private constructor(private readonly serving: ServingControlPlane) {}

  static async start(): Promise<ControlPlane> {
    return new ControlPlane(await startControlPlane());
  }

  get port(): number {
    return this.serving.port;
  }

  get nacks(): ServingControlPlane['refusals'] {
    return this.serving.refusals;
  }

  get acked(): readonly string[] {
    return this.serving.acknowledged;
  }

  publish({ listeners, clusters, routes }: Served): void {
    this.serving.publish({
      version: String(++this.version),
      resources: new Map([
        [TYPE_URL.cluster, pack(ClusterSchema, clusters)],
        [TYPE_URL.listener, pack(ListenerSchema, listeners)],
        [TYPE_URL.route, pack(RouteConfigurationSchema, routes)],
      ]),
    });
  }

  stop(): void {
    this.serving.stop();
  }
}

const ADS: Json = { ads: {}, resource_api_version: 'V3' };

/** The part of a bootstrap file that takes everything from this control plane. */
export function dynamicResources(port: number): Json {
  return {
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
      lds_config: ADS,
      cds_config: ADS,
    },
    static_resources: {
      clusters: [
        {
          name: 'xds-grpc',
          type: 'STATIC',
          connect_timeout: '1s',
          http2_protocol_options: {},
          load_assignment: {
            cluster_name: 'xds-grpc',
            endpoints: [
              {
                lb_endpoints: [
                  { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } },
                ],
              },
            ],
          },
        },
      ],
    },
  };
}

/** For a connection manager whose routes come from the control plane. */
export const rds = (name: string): Json => ({
  route_config: undefined,
  rds: { route_config_name: name, config_source: ADS },
});
