// Store tests: small real resources, and a data path that remembers what it was given.

import { create, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { packAny, TYPE_URL } from '@lateen/xds-proto';
import { Cluster_DiscoveryType, ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { FilterChainSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { RouterSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/router/v3/router_pb.js';
import { HttpConnectionManagerSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { SecretSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { DownstreamTlsContextSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { type ConfigProblem, ConfigRejected, type DataPlaneConfig, type TlsSecret } from '../../data-plane.js';
import type { ResourceEntry } from './resource-state.js';

const ADS = { configSourceSpecifier: { case: 'ads' as const, value: {} } };

function entry<Desc extends DescMessage>(
  schema: Desc,
  name: string,
  value: MessageShape<Desc>,
): ResourceEntry<MessageShape<Desc>> {
  return { name, version: '1', value, any: packAny(schema, value), updatedMs: 0 };
}

/** @param note changes the bytes */
export function edsCluster(name: string, note = '') {
  return entry(
    ClusterSchema,
    name,
    create(ClusterSchema, {
      name,
      altStatName: note,
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
      edsClusterConfig: { edsConfig: ADS },
    }),
  );
}

export function endpoints(name: string, port = 80) {
  const lbEndpoint = {
    hostIdentifier: {
      case: 'endpoint' as const,
      value: {
        address: {
          address: {
            case: 'socketAddress' as const,
            value: { address: '127.0.0.1', portSpecifier: { case: 'portValue' as const, value: port } },
          },
        },
      },
    },
  };
  const value = create(ClusterLoadAssignmentSchema, { clusterName: name, endpoints: [{ lbEndpoints: [lbEndpoint] }] });
  return entry(ClusterLoadAssignmentSchema, name, value);
}

export function rdsListener(name: string, routeName: string, note = '') {
  const hcm = create(HttpConnectionManagerSchema, {
    statPrefix: note,
    routeSpecifier: { case: 'rds', value: { routeConfigName: routeName, configSource: ADS } },
    httpFilters: [
      {
        name: 'router',
        configType: { case: 'typedConfig', value: packAny(RouterSchema, create(RouterSchema)) },
      },
    ],
  });
  const value = create(ListenerSchema, {
    name,
    address: {
      address: {
        case: 'socketAddress',
        value: { address: '127.0.0.1', portSpecifier: { case: 'portValue', value: 0 } },
      },
    },
    filterChains: [
      { filters: [{ configType: { case: 'typedConfig', value: packAny(HttpConnectionManagerSchema, hcm) } }] },
    ],
  });
  return entry(ListenerSchema, name, value);
}

/** @param secretName over ADS */
export function tlsListener(name: string, secretName: string) {
  const { value } = rdsListener(name, 'none');
  const tls = create(DownstreamTlsContextSchema, {
    commonTlsContext: { tlsCertificateSdsSecretConfigs: [{ name: secretName, sdsConfig: ADS }] },
  });
  const chain = create(FilterChainSchema, {
    transportSocket: { configType: { case: 'typedConfig', value: packAny(DownstreamTlsContextSchema, tls) } },
  });
  return entry(ListenerSchema, name, create(ListenerSchema, { name, address: value.address, filterChains: [chain] }));
}

export function certificateSecret(name: string, chainPem: string, keyPem: string) {
  const value = create(SecretSchema, {
    name,
    type: {
      case: 'tlsCertificate',
      value: {
        certificateChain: { specifier: { case: 'inlineString', value: chainPem } },
        privateKey: { specifier: { case: 'inlineString', value: keyPem } },
      },
    },
  });
  return entry(SecretSchema, name, value);
}

export function routes(name: string, cluster: string) {
  const value = create(RouteConfigurationSchema, {
    name,
    virtualHosts: [
      {
        name: 'all',
        domains: ['*'],
        routes: [
          {
            match: { pathSpecifier: { case: 'prefix', value: '/' } },
            action: { case: 'route', value: { clusterSpecifier: { case: 'cluster', value: cluster } } },
          },
        ],
      },
    ],
  });
  return entry(RouteConfigurationSchema, name, value);
}

/** Keeps what it was given; refuses resources whose name is in `refuse`. */
export class RecordingDataPlane {
  readonly applied: DataPlaneConfig[] = [];
  readonly secretUpdates: ReadonlyMap<string, TlsSecret>[] = [];
  refuse: ConfigProblem[] = [];

  async apply(config: DataPlaneConfig): Promise<void> {
    const present = this.refuse.filter(({ resourceType, resourceName }) => {
      const names =
        resourceType === TYPE_URL.cluster
          ? config.clusters.map(({ name }) => name)
          : resourceType === TYPE_URL.listener
            ? config.listeners.map(({ name }) => name)
            : resourceType === ''
              ? ['']
              : [...config.routes.keys()];
      return names.includes(resourceName);
    });
    if (present.length > 0) throw new ConfigRejected(present);
    this.applied.push(config);
  }

  listeners() {
    return [];
  }

  updateSecrets(secrets: ReadonlyMap<string, TlsSecret>): void {
    this.secretUpdates.push(secrets);
  }

  get last() {
    const config = this.applied[this.applied.length - 1];
    return {
      listeners: config?.listeners.map(({ name }) => name) ?? [],
      clusters: config?.clusters.map(({ name }) => name) ?? [],
      routes: [...(config?.routes.keys() ?? [])],
      endpoints: [...(config?.endpoints.keys() ?? [])],
    };
  }
}
