// Pilot's tests: an ADS client over real gRPC that follows references as a proxy does, in either form of the protocol,
// and notes every moment at which what it holds is not consistent.

import { create, type JsonObject } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { type ChannelCredentials, Client, type ClientDuplexStream } from '@grpc/grpc-js';
import { anyIs, grpcService, shortTypeName, TYPE_URL, unpackAny } from '@lateen/xds-proto';
import { Cluster_DiscoveryType, ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { HttpConnectionManagerSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { AggregatedDiscoveryService } from '@lateen/xds-proto/envoy/service/discovery/v3/ads_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { NameTableSchema } from '@lateen/xds-proto/istio/networking/nds/v1/nds_pb.js';
import type { AdsForm } from '@lateen/xds-stream';

export interface TestProxyOptions {
  readonly target: string;
  readonly credentials: ChannelCredentials;
  readonly form: AdsForm;
  readonly pod: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly address: string;
  readonly type?: 'sidecar' | 'router';
  /** Node metadata that differs from a local mode sidecar's. */
  readonly metadata?: JsonObject;
  /** Types that it subscribes to beside Envoy's. */
  readonly further?: readonly string[];
  /** Versions of an earlier stream, by type URL (incremental). */
  readonly initial?: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

type Response = DiscoveryResponse | DeltaDiscoveryResponse;

/** Listed in the order in which a stock Envoy subscribes. */
const WILDCARDS = [TYPE_URL.cluster, TYPE_URL.listener];

export class TestProxy {
  /** "CDS outbound|80||a", "CDS -gone": one line for each resource received or removed. */
  readonly log: string[] = [];
  /** Types of the responses, in their order. */
  readonly order: string[] = [];
  /** Moments at which a route referred to a cluster, or a cluster to endpoints, that the proxy did not have. */
  readonly violations: string[] = [];
  readonly held = new Map<string, Map<string, { version: string; any: Any }>>();
  /** Resolves when the stream is over. */
  readonly ended: Promise<{ code: number; details: string }>;
  /** To be rejected with this text: the next response of a type ("RDS"). */
  rejectNext: { readonly type: string; readonly error: string } | undefined;
  private readonly call: ClientDuplexStream<unknown, Response>;
  private readonly client: Client;
  private readonly named = new Map<string, Set<string>>([
    [TYPE_URL.endpoint, new Set()],
    [TYPE_URL.route, new Set()],
  ]);
  private readonly nonces = new Map<string, string>();

  constructor(private readonly options: TestProxyOptions) {
    this.client = new Client(options.target, options.credentials);
    const name = options.form === 'sotw' ? 'streamAggregatedResources' : 'deltaAggregatedResources';
    const method = grpcService(AggregatedDiscoveryService)[name]!;
    this.call = this.client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize as never,
      method.responseDeserialize as never,
    );
    this.ended = new Promise((resolve) => {
      this.call.on('error', (error: { code?: number; details?: string }) =>
        resolve({ code: error.code ?? -1, details: error.details ?? '' }),
      );
    });
    this.call.on('data', (response: Response) => this.receive(response));
    for (const typeUrl of [...WILDCARDS, ...(options.further ?? [])]) this.subscribe(typeUrl);
  }

  close(): void {
    this.call.cancel();
    this.client.close();
  }

  names(typeUrl: string): string[] {
    return [...(this.held.get(typeUrl)?.keys() ?? [])].sort();
  }

  route(name: string): RouteConfiguration {
    return unpackAny(this.held.get(TYPE_URL.route)!.get(name)!.any, RouteConfigurationSchema);
  }

  /** Versions that the proxy holds, to reconnect with. */
  versions(): Map<string, Map<string, string>> {
    return new Map(
      [...this.held].map(([typeUrl, held]) => [
        typeUrl,
        new Map([...held].map(([name, { version }]) => [name, version])),
      ]),
    );
  }

  private node() {
    const { type = 'sidecar', address, pod, namespace, serviceAccount } = this.options;
    const metadata: JsonObject = {
      NAMESPACE: namespace,
      SERVICE_ACCOUNT: serviceAccount,
      INTERCEPTION_MODE: 'NONE',
      LATEEN_VERSION: '9.9.9',
      ...this.options.metadata,
    };
    return { id: `${type}~${address}~${pod}.${namespace}~${namespace}.svc.cluster.local`, metadata };
  }

  private subscribe(typeUrl: string): void {
    const names = [...(this.named.get(typeUrl) ?? [])];
    const first = !this.nonces.has(typeUrl);
    const nonce = this.nonces.get(typeUrl) ?? '';
    this.nonces.set(typeUrl, nonce);
    if (this.options.form === 'sotw') {
      this.call.write(
        create(DiscoveryRequestSchema, { typeUrl, node: this.node(), resourceNames: names, responseNonce: nonce }),
      );
      return;
    }
    const initial = first ? this.options.initial?.get(typeUrl) : undefined;
    this.call.write(
      create(DeltaDiscoveryRequestSchema, {
        typeUrl,
        node: this.node(),
        resourceNamesSubscribe: names,
        initialResourceVersions: Object.fromEntries(initial ?? []),
      }),
    );
  }

  private receive(response: Response): void {
    const { typeUrl } = response;
    const type = shortTypeName(typeUrl);
    this.order.push(type);
    this.nonces.set(typeUrl, response.nonce);
    const rejected = this.rejectNext?.type === type ? this.rejectNext.error : undefined;
    if (rejected === undefined) this.apply(response, type);
    else this.rejectNext = undefined;
    this.answer(response, rejected);
    this.follow();
    this.check(type);
  }

  private apply(response: Response, type: string): void {
    const { typeUrl } = response;
    const held = this.held.get(typeUrl) ?? new Map<string, { version: string; any: Any }>();
    this.held.set(typeUrl, held);
    const received = new Set<string>();
    const put = (name: string, version: string, any: Any) => {
      received.add(name);
      held.set(name, { version, any });
      this.log.push(`${type} ${name}`);
    };
    const drop = (name: string) => {
      if (held.delete(name)) this.log.push(`${type} -${name}`);
    };
    if (response.$typeName === 'envoy.service.discovery.v3.DeltaDiscoveryResponse') {
      for (const { name, version, resource } of response.resources) put(name, version, resource!);
      for (const name of response.removedResources) drop(name);
      return;
    }
    for (const any of response.resources) put(nameOf(any), response.versionInfo, any);
    if (WILDCARDS.includes(typeUrl as never)) {
      for (const name of [...held.keys()]) if (!received.has(name)) drop(name);
    }
  }

  private answer(response: Response, error: string | undefined): void {
    const { typeUrl, nonce: responseNonce } = response;
    const errorDetail = error === undefined ? {} : { errorDetail: { code: 3, message: error } };
    if (this.options.form === 'delta') {
      this.call.write(create(DeltaDiscoveryRequestSchema, { typeUrl, responseNonce, ...errorDetail }));
      return;
    }
    const resourceNames = [...(this.named.get(typeUrl) ?? [])];
    this.call.write(create(DiscoveryRequestSchema, { typeUrl, responseNonce, resourceNames, ...errorDetail }));
  }

  /** Subscribes to what the held clusters and listeners refer to. */
  private follow(): void {
    for (const [typeUrl, wanted] of [
      [TYPE_URL.endpoint, this.endpointNames()],
      [TYPE_URL.route, this.routeNames()],
    ] as const) {
      const known = this.named.get(typeUrl)!;
      const added = [...wanted].filter((name) => !known.has(name));
      const gone = [...known].filter((name) => !wanted.has(name));
      if (added.length + gone.length === 0) continue;
      this.named.set(typeUrl, wanted);
      for (const name of gone) this.held.get(typeUrl)?.delete(name);
      if (this.options.form === 'sotw') this.subscribe(typeUrl);
      else {
        const first = !this.nonces.has(typeUrl);
        if (first) this.nonces.set(typeUrl, '');
        const initial = first ? this.options.initial?.get(typeUrl) : undefined;
        this.call.write(
          create(DeltaDiscoveryRequestSchema, {
            typeUrl,
            resourceNamesSubscribe: added,
            resourceNamesUnsubscribe: gone,
            initialResourceVersions: Object.fromEntries(initial ?? []),
          }),
        );
      }
    }
  }

  private endpointNames(): Set<string> {
    const names = new Set<string>();
    for (const { any } of this.held.get(TYPE_URL.cluster)?.values() ?? []) {
      const { clusterDiscoveryType: type, edsClusterConfig, name } = unpackAny(any, ClusterSchema);
      if (type.case === 'type' && type.value === Cluster_DiscoveryType.EDS)
        names.add(edsClusterConfig?.serviceName || name);
    }
    return names;
  }

  private routeNames(): Set<string> {
    const names = new Set<string>();
    for (const { any } of this.held.get(TYPE_URL.listener)?.values() ?? []) {
      for (const { filters } of unpackAny(any, ListenerSchema).filterChains) {
        for (const { configType } of filters) {
          if (configType.case !== 'typedConfig' || !anyIs(configType.value, HttpConnectionManagerSchema)) continue;
          const { routeSpecifier } = unpackAny(configType.value, HttpConnectionManagerSchema);
          if (routeSpecifier.case === 'rds') names.add(routeSpecifier.value.routeConfigName);
        }
      }
    }
    return names;
  }

  /** Every cluster that a held route names must be there, with its endpoints. */
  private check(after: string): void {
    const clusters = this.held.get(TYPE_URL.cluster);
    const endpoints = this.held.get(TYPE_URL.endpoint);
    for (const name of this.names(TYPE_URL.route)) {
      for (const cluster of clustersOf(this.route(name))) {
        const held = clusters?.get(cluster);
        if (held === undefined) this.violations.push(`after ${after}: route ${name} wants cluster ${cluster}`);
        else if (isEds(held.any) && !endpoints?.has(cluster)) {
          this.violations.push(`after ${after}: route ${name} wants endpoints of ${cluster}`);
        }
      }
    }
  }
}

function isEds(any: Any): boolean {
  const { clusterDiscoveryType: type } = unpackAny(any, ClusterSchema);
  return type.case === 'type' && type.value === Cluster_DiscoveryType.EDS;
}

/** Clusters that a route configuration sends to. */
export function clustersOf({ virtualHosts }: RouteConfiguration): Set<string> {
  const clusters = new Set<string>();
  for (const { routes } of virtualHosts) {
    for (const { action } of routes) {
      if (action.case !== 'route') continue;
      const specifier = action.value.clusterSpecifier;
      if (specifier.case === 'cluster') clusters.add(specifier.value);
      if (specifier.case === 'weightedClusters') {
        for (const { name } of specifier.value.clusters) clusters.add(name);
      }
    }
  }
  return clusters;
}

function nameOf(any: Any): string {
  for (const schema of [ClusterSchema, ListenerSchema, RouteConfigurationSchema] as const) {
    if (anyIs(any, schema)) return unpackAny(any, schema).name;
  }
  if (anyIs(any, NameTableSchema)) return '';
  return unpackAny(any, ClusterLoadAssignmentSchema).clusterName;
}
