// Demo check: a small ADS server (state of the world, plaintext) that sends what the check wants and keeps the answers.

import { create, type MessageShape } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServerDuplexStream, type ServiceDefinition } from '@grpc/grpc-js';
import { grpcService, packAny, TYPE_URL } from '@lateen/xds-proto';
import { type Cluster, ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { type Listener, ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { AggregatedDiscoveryService } from '@lateen/xds-proto/envoy/service/discovery/v3/ads_pb.js';
import {
  type DiscoveryRequest,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';

export interface Resources {
  readonly clusters: readonly Cluster[];
  readonly listeners: readonly Listener[];
}

type Stream = ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>;

export class SmallAdsServer {
  readonly port: number;
  /** Texts of the NACKs that came, by type URL. */
  readonly rejections = new Map<string, string[]>();
  readonly #server: Server;
  readonly #streams = new Set<{ stream: Stream; subscribed: Set<string> }>();
  #resources: Resources;
  #version = 1;
  #nonce = 0;

  private constructor(server: Server, port: number, resources: Resources) {
    this.#server = server;
    this.port = port;
    this.#resources = resources;
  }

  /** Listens on a free port of 127.0.0.1. */
  static async start(resources: Resources): Promise<SmallAdsServer> {
    const server = new Server();
    let self: SmallAdsServer | undefined;
    // grpc-js declares its own method table type; the one of xds-proto has the same shape without the dependency.
    const service = grpcService(AggregatedDiscoveryService) as unknown as ServiceDefinition;
    server.addService(service, {
      streamAggregatedResources: (stream: Stream) => self?.serve(stream),
      deltaAggregatedResources: (stream: Stream) => stream.end(),
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    self = new SmallAdsServer(server, port, resources);
    return self;
  }

  /** Sends other resources to whoever is connected. */
  update(resources: Resources): void {
    this.#resources = resources;
    this.#version++;
    for (const { stream, subscribed } of this.#streams) {
      for (const typeUrl of subscribed) this.#send(stream, typeUrl);
    }
  }

  close(): void {
    this.#server.forceShutdown();
  }

  private serve(stream: Stream): void {
    const client = { stream, subscribed: new Set<string>() };
    this.#streams.add(client);
    stream.on('data', (request: DiscoveryRequest) => {
      if (request.errorDetail !== undefined) {
        const texts = this.rejections.get(request.typeUrl) ?? [];
        this.rejections.set(request.typeUrl, [...texts, request.errorDetail.message]);
      }
      if (client.subscribed.has(request.typeUrl)) return;
      client.subscribed.add(request.typeUrl);
      this.#send(stream, request.typeUrl);
    });
    const gone = () => this.#streams.delete(client);
    stream.on('error', gone);
    stream.on('end', () => {
      gone();
      stream.end();
    });
  }

  #send(stream: Stream, typeUrl: string): void {
    const resources = this.#pack(typeUrl);
    if (resources === undefined) return;
    const nonce = String(++this.#nonce);
    const versionInfo = String(this.#version);
    stream.write(create(DiscoveryResponseSchema, { typeUrl, nonce, versionInfo, resources }));
  }

  #pack(typeUrl: string): MessageShape<typeof DiscoveryResponseSchema>['resources'] | undefined {
    if (typeUrl === TYPE_URL.cluster) return this.#resources.clusters.map((each) => packAny(ClusterSchema, each));
    if (typeUrl === TYPE_URL.listener) return this.#resources.listeners.map((each) => packAny(ListenerSchema, each));
    return undefined;
  }
}
