// Contract: an ADS client as anybody would write it from the published protos with @grpc/grpc-js, in either form. It
// follows references as a proxy does (clusters to endpoints, listeners to routes) and notes when they lead nowhere.

import { create, type JsonObject } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { type ChannelCredentials, Client, type ClientDuplexStream } from '@grpc/grpc-js';
import { anyIs, grpcService, shortTypeName, TYPE_URL, unpackAny } from '@lateen/xds-proto';
import {
  type Cluster,
  Cluster_DiscoveryType,
  ClusterSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { HttpConnectionManagerSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { AggregatedDiscoveryService } from '@lateen/xds-proto/envoy/service/discovery/v3/ads_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';

type Response = DiscoveryResponse | DeltaDiscoveryResponse;

export interface AdsClientNode {
  readonly id: string;
  readonly metadata: JsonObject;
}

/** Subscribed to as a whole; absence from a full response means removal. */
const WILDCARDS: readonly string[] = [TYPE_URL.cluster, TYPE_URL.listener];

/** What one stream of ADS brought. */
export abstract class RawAdsClient {
  /** One line for each resource received or removed: "CDS outbound|80||a", "CDS -outbound|80||a". */
  readonly log: string[] = [];
  /** Moments at which a route named a cluster, or a cluster endpoints, that had not been received. */
  readonly violations: string[] = [];
  /** Bytes by type URL and name. */
  readonly held = new Map<string, Map<string, Any>>(Object.values(TYPE_URL).map((typeUrl) => [typeUrl, new Map()]));
  protected readonly wanted = new Map<string, ReadonlySet<string>>();
  protected readonly call: ClientDuplexStream<unknown, Response>;
  private readonly client: Client;

  protected constructor(target: string, credentials: ChannelCredentials, rpc: string) {
    this.client = new Client(target, credentials);
    const method = grpcService(AggregatedDiscoveryService)[rpc]!;
    this.call = this.client.makeBidiStreamRequest(
      method.path,
      // The method table's functions take any message; grpc-js wants them typed by this call.
      method.requestSerialize as never,
      method.responseDeserialize as never,
    );
    this.call.on('data', (response: Response) => this.receive(response));
    this.call.on('error', (error: Error) => this.log.push(`ended: ${error.message}`));
  }

  close(): void {
    this.call.cancel();
    this.client.close();
  }

  names(typeUrl: string): string[] {
    return [...this.held.get(typeUrl)!.keys()].sort();
  }

  /** Clusters that the routes lead to. */
  routedClusters(): Set<string> {
    return new Set([...this.held.get(TYPE_URL.route)!.values()].flatMap(clustersOf));
  }

  /** Everything held, by type and name, for comparison. */
  content(): Record<string, Record<string, string>> {
    const ofType = (set: ReadonlyMap<string, Any>) =>
      Object.fromEntries([...set].sort().map(([name, { value }]) => [name, Buffer.from(value).toString('base64')]));
    return Object.fromEntries([...this.held].map(([typeUrl, set]) => [shortTypeName(typeUrl), ofType(set)]));
  }

  /** Stores a response's resources; tells what it removes. */
  protected abstract apply(response: Response): void;
  protected abstract acknowledge(response: Response): void;
  protected abstract subscribe(typeUrl: string, added: readonly string[], gone: readonly string[]): void;

  protected put(typeUrl: string, name: string, any: Any): void {
    this.held.get(typeUrl)!.set(name, any);
    this.log.push(`${shortTypeName(typeUrl)} ${name}`);
  }

  protected remove(typeUrl: string, name: string): void {
    if (this.held.get(typeUrl)!.delete(name)) this.log.push(`${shortTypeName(typeUrl)} -${name}`);
  }

  private receive(response: Response): void {
    this.apply(response);
    this.acknowledge(response);
    const clusters = [...this.held.get(TYPE_URL.cluster)!.values()].map((any) => unpackAny(any, ClusterSchema));
    this.follow(
      TYPE_URL.endpoint,
      clusters.filter(isEds).map(({ name, edsClusterConfig }) => edsClusterConfig?.serviceName || name),
    );
    this.follow(TYPE_URL.route, [...this.held.get(TYPE_URL.listener)!.values()].flatMap(routesOf));
    this.check(shortTypeName(response.typeUrl));
  }

  private follow(typeUrl: string, names: readonly string[]): void {
    const before = this.wanted.get(typeUrl) ?? new Set<string>();
    const now = new Set(names);
    const added = [...now].filter((name) => !before.has(name));
    const gone = [...before].filter((name) => !now.has(name));
    if (added.length + gone.length === 0) return;
    this.wanted.set(typeUrl, now);
    for (const name of gone) this.held.get(typeUrl)!.delete(name);
    this.subscribe(typeUrl, added, gone);
  }

  private check(after: string): void {
    const clusters = this.held.get(TYPE_URL.cluster)!;
    for (const name of this.routedClusters()) {
      const cluster = clusters.get(name);
      if (cluster === undefined)
        this.violations.push(`after ${after}: a route names cluster ${name}, which is not there`);
      else if (isEds(unpackAny(cluster, ClusterSchema)) && !this.held.get(TYPE_URL.endpoint)!.has(name))
        this.violations.push(`after ${after}: a route leads to ${name}, whose endpoints are not there`);
    }
  }
}

/** State of the world: StreamAggregatedResources. */
export class SotwAdsClient extends RawAdsClient {
  private readonly answered = new Map<string, { readonly nonce: string; readonly version: string }>();

  constructor(
    target: string,
    credentials: ChannelCredentials,
    private readonly node: AdsClientNode,
  ) {
    super(target, credentials, 'streamAggregatedResources');
    for (const typeUrl of WILDCARDS) this.request(typeUrl);
  }

  protected override apply(response: Response): void {
    const { typeUrl } = response;
    const received = new Set<string>();
    for (const any of response.resources as Any[]) {
      received.add(nameOf(any));
      this.put(typeUrl, nameOf(any), any);
    }
    if (!WILDCARDS.includes(typeUrl)) return;
    for (const name of this.names(typeUrl)) if (!received.has(name)) this.remove(typeUrl, name);
  }

  protected override acknowledge({ typeUrl, nonce, ...response }: Response): void {
    this.answered.set(typeUrl, { nonce, version: (response as DiscoveryResponse).versionInfo });
    this.request(typeUrl);
  }

  protected override subscribe(typeUrl: string): void {
    this.request(typeUrl);
  }

  private request(typeUrl: string): void {
    const { nonce = '', version = '' } = this.answered.get(typeUrl) ?? {};
    this.call.write(
      create(DiscoveryRequestSchema, {
        typeUrl,
        node: this.node,
        resourceNames: [...(this.wanted.get(typeUrl) ?? [])],
        responseNonce: nonce,
        versionInfo: version,
      }),
    );
  }
}

/** Incremental: DeltaAggregatedResources. */
export class DeltaAdsClient extends RawAdsClient {
  constructor(target: string, credentials: ChannelCredentials, node: AdsClientNode) {
    super(target, credentials, 'deltaAggregatedResources');
    for (const typeUrl of WILDCARDS) this.call.write(create(DeltaDiscoveryRequestSchema, { typeUrl, node }));
  }

  protected override apply(response: Response): void {
    const { typeUrl, resources, removedResources } = response as DeltaDiscoveryResponse;
    for (const { name, resource } of resources) if (resource !== undefined) this.put(typeUrl, name, resource);
    for (const name of removedResources) this.remove(typeUrl, name);
  }

  protected override acknowledge({ typeUrl, nonce }: Response): void {
    this.call.write(create(DeltaDiscoveryRequestSchema, { typeUrl, responseNonce: nonce }));
  }

  protected override subscribe(typeUrl: string, added: readonly string[], gone: readonly string[]): void {
    this.call.write(
      create(DeltaDiscoveryRequestSchema, {
        typeUrl,
        resourceNamesSubscribe: [...added],
        resourceNamesUnsubscribe: [...gone],
      }),
    );
  }
}

function isEds({ clusterDiscoveryType: type }: Cluster): boolean {
  return type.case === 'type' && type.value === Cluster_DiscoveryType.EDS;
}

function clustersOf(any: Any): string[] {
  return unpackAny(any, RouteConfigurationSchema).virtualHosts.flatMap(({ routes }) =>
    routes.flatMap(({ action }) => {
      if (action.case !== 'route') return [];
      const { clusterSpecifier: specifier } = action.value;
      if (specifier.case === 'cluster') return [specifier.value];
      return specifier.case === 'weightedClusters' ? specifier.value.clusters.map(({ name }) => name) : [];
    }),
  );
}

function routesOf(any: Any): string[] {
  const filters = unpackAny(any, ListenerSchema).filterChains.flatMap((chain) => chain.filters);
  return filters.flatMap(({ configType }) => {
    if (configType.case !== 'typedConfig' || !anyIs(configType.value, HttpConnectionManagerSchema)) return [];
    const { routeSpecifier } = unpackAny(configType.value, HttpConnectionManagerSchema);
    return routeSpecifier.case === 'rds' ? [routeSpecifier.value.routeConfigName] : [];
  });
}

function nameOf(any: Any): string {
  if (anyIs(any, ClusterLoadAssignmentSchema)) return unpackAny(any, ClusterLoadAssignmentSchema).clusterName;
  if (anyIs(any, ClusterSchema)) return unpackAny(any, ClusterSchema).name;
  return anyIs(any, ListenerSchema)
    ? unpackAny(any, ListenerSchema).name
    : unpackAny(any, RouteConfigurationSchema).name;
}
