// ADS client: opens streams over gRPC. One channel at a time; credentials are asked for at each new channel.

import { type ChannelCredentials, type ChannelOptions, Client, Metadata } from '@grpc/grpc-js';
import { type GrpcMethod, grpcService } from '@lateen/xds-proto';
import { AggregatedDiscoveryService } from '@lateen/xds-proto/envoy/service/discovery/v3/ads_pb.js';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import type { ClientStream, ClientStreamEvents } from './client-types.js';

/** Opens ADS streams; the client owns when. A test may give one of its own. */
export interface AdsTransport {
  openSotw(events: ClientStreamEvents<DiscoveryResponse>): ClientStream<DiscoveryRequest>;
  openDelta(events: ClientStreamEvents<DeltaDiscoveryResponse>): ClientStream<DeltaDiscoveryRequest>;
  close(): void;
}

export interface GrpcTransportOptions {
  /** gRPC target, for example `127.0.0.1:15012`. */
  readonly target: string;
  /** Asked for each new channel, so that a renewed certificate is used from the next connection on. */
  readonly credentials: () => ChannelCredentials;
  readonly channelOptions?: ChannelOptions;
  /** Sent with every stream, for example a bearer token. */
  readonly metadata?: () => Metadata;
}

/** A connection whose peer is silently gone is noticed after this long. */
const KEEPALIVE_TIME_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;

/** Transport over @grpc/grpc-js. */
export function createGrpcTransport(options: GrpcTransportOptions): AdsTransport {
  const methods = grpcService(AggregatedDiscoveryService);
  let client: Client | undefined;

  function open<Request, Response>(method: GrpcMethod, events: ClientStreamEvents<Response>): ClientStream<Request> {
    // A new channel for each stream: back-off then has one owner, the ADS client, and renewed credentials are taken up.
    client?.close();
    client = new Client(options.target, options.credentials(), {
      'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.max_receive_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      ...options.channelOptions,
    });
    const call = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize as (request: Request) => Buffer,
      method.responseDeserialize as (bytes: Buffer) => Response,
      options.metadata?.() ?? new Metadata(),
    );
    let ended = false;
    const end = (reason: string) => {
      if (ended) return;
      ended = true;
      events.onEnd(reason);
    };
    call.on('metadata', () => {
      if (!ended) events.onOpen();
    });
    call.on('data', (response: Response) => {
      if (!ended) events.onMessage(response);
    });
    call.on('error', (error: Error) => end(error.message));
    call.on('end', () => end('the server ended the stream'));
    return {
      send: (request) => {
        if (!ended) call.write(request);
      },
      finish: () => call.end(),
      cancel: () => {
        ended = true;
        call.cancel();
      },
    };
  }

  const method = (name: string): GrpcMethod => {
    const found = methods[name];
    if (found === undefined) throw new Error(`the discovery service has no method ${name}`);
    return found;
  };
  return {
    openSotw: (events) => open(method('streamAggregatedResources'), events),
    openDelta: (events) => open(method('deltaAggregatedResources'), events),
    close: () => {
      client?.close();
      client = undefined;
    },
  };
}
