// ADS server: the gRPC end of it. Lets each stream's client in, then hands its requests to a session.

import { create } from '@bufbuild/protobuf';
import {
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { grpcService } from '@lateen/xds-proto';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { AggregatedDiscoveryService } from '@lateen/xds-proto/envoy/service/discovery/v3/ads_pb.js';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import type { AdsEvents, AdsForm, AdsService, AdsServiceOptions, AdsSubscriber } from './model.js';
import { AdsSession, BadRequest } from './session.js';

type Request = DiscoveryRequest | DeltaDiscoveryRequest;
type Response = DiscoveryResponse | DeltaDiscoveryResponse;
type Call = ServerDuplexStream<Request, Response>;

const DEFAULT_ACK_TIMEOUT_MS = 5000;
const DEFAULT_REMOVAL_GRACE_MS = 1500;

/** One stream from its first byte to its end. */
interface OpenStream {
  readonly client: AdsSubscriber;
  readonly session: AdsSession;
  end(code: number, details: string): void;
}

/** A discovery service of Envoy's: its two streams, and what else it has. */
export interface DiscoveryMethods {
  readonly definition: ServiceDefinition;
  /** Names of the methods, by form. */
  readonly streams: Readonly<Record<AdsForm, string>>;
  /** The one type of a service that has no other: its requests need not name it. */
  readonly onlyType?: string;
  readonly others?: UntypedServiceImplementation;
}

/**
 * Makes the AggregatedDiscoveryService for a @grpc/grpc-js server, both forms:
 * `server.addService(ads.definition, ads.implementation)`.
 */
export function createAdsService(options: AdsServiceOptions): AdsService {
  return createDiscoveryService(options, {
    definition: grpcService(AggregatedDiscoveryService) as ServiceDefinition,
    streams: { sotw: 'streamAggregatedResources', delta: 'deltaAggregatedResources' },
  });
}

/** As `createAdsService`, for any of Envoy's discovery services. */
export function createDiscoveryService(options: AdsServiceOptions, methods: DiscoveryMethods): AdsService {
  const streams = new Set<OpenStream>();
  const serve = (form: AdsForm) => (call: Call) => serveStream(call, form, options, methods.onlyType, streams);
  return {
    definition: methods.definition,
    implementation: {
      [methods.streams.sotw]: serve('sotw'),
      [methods.streams.delta]: serve('delta'),
      ...methods.others,
    },
    clients: () => [...streams].map(({ client, session }) => ({ client, types: session.report() })),
    standings: (revision) =>
      [...streams].map(({ client, session }) => ({ client, standing: session.standing(revision) })),
    close: () => {
      for (const stream of [...streams]) stream.end(status.UNAVAILABLE, 'the server is stopping; connect again');
    },
  };
}

let streamCount = 0;
/** Differs between runs, so that a nonce or stream id of an earlier process is never taken for one of this. */
const RUN_ID = Date.now().toString(36);

function serveStream(
  call: Call,
  form: AdsForm,
  options: AdsServiceOptions,
  onlyType: string | undefined,
  streams: Set<OpenStream>,
): void {
  const events = options.events ?? {};
  let stream: OpenStream | undefined;
  let over = false;
  let admitting = false;
  const early: Request[] = [];

  const close = () => {
    over = true;
    if (stream === undefined || !streams.delete(stream)) return;
    stream.session.close();
    events.onDisconnect?.(stream.client);
  };
  const end = (code: number, details: string) => {
    if (over) return;
    close();
    // grpc-js answers an 'error' event on a server stream with this status.
    call.emit('error', { code, details });
  };
  const receive = (request: Request) => {
    try {
      if (onlyType !== undefined) requireType(request, onlyType);
      stream?.session.receive(request);
    } catch (error) {
      if (!(error instanceof BadRequest)) throw error;
      events.onStreamError?.(stream?.client, error.message);
      end(status.INVALID_ARGUMENT, error.message);
    }
  };
  const admit = async (request: Request) => {
    const peer = { address: call.getPeer(), call };
    const refusal = await options.authorize(peer, request.node);
    if (over) return;
    if (refusal !== undefined) {
      events.onRefused?.(peer.address, request.node, refusal.refused);
      end(refusal.code ?? status.PERMISSION_DENIED, refusal.refused);
      return;
    }
    stream = openStream(call, form, request, options, events, end);
    streams.add(stream);
    events.onConnect?.(stream.client);
    stream.session.start(options.source.open(stream.client, () => stream?.session.notify()));
    for (const waiting of early) receive(waiting);
    call.resume();
  };

  call.on('data', (request: Request) => {
    if (over) return;
    if (stream !== undefined) return receive(request);
    early.push(request);
    if (admitting) return;
    admitting = true;
    call.pause();
    admit(request).catch((error: Error) => {
      events.onStreamError?.(undefined, error.message);
      end(status.INTERNAL, `admitting the client failed: ${error.message}`);
    });
  });
  call.on('end', () => {
    close();
    call.end();
  });
  call.on('cancelled', close);
  call.on('error', (error: Error) => {
    if (!over) events.onStreamError?.(stream?.client, error.message);
    close();
  });
}

/** A service of one type implies it. @throws BadRequest for another one */
function requireType(request: Request, onlyType: string): void {
  if (request.typeUrl === '') request.typeUrl = onlyType;
  if (request.typeUrl !== onlyType) throw new BadRequest(`only ${onlyType} is served here, not ${request.typeUrl}`);
}

function openStream(
  call: Call,
  form: AdsForm,
  request: Request,
  options: AdsServiceOptions,
  events: AdsEvents,
  end: OpenStream['end'],
): OpenStream {
  streamCount += 1;
  const client: AdsSubscriber = {
    streamId: `${RUN_ID}.${streamCount}`,
    node: request.node ?? create(NodeSchema),
    peer: call.getPeer(),
    form,
    connectedAtMs: Date.now(),
  };
  const session = new AdsSession({
    client,
    types: options.types,
    events,
    ackTimeoutMs: options.ackTimeoutMs ?? DEFAULT_ACK_TIMEOUT_MS,
    removalGraceMs: options.removalGraceMs ?? DEFAULT_REMOVAL_GRACE_MS,
    controlPlaneId: options.controlPlaneId ?? 'lateen',
    // The callback comes when HTTP/2 flow control let the message go, so at most one waits in memory.
    write: (response, onFlushed) => {
      call.write(response, (error: Error | null | undefined) => {
        if (error === null || error === undefined) onFlushed();
      });
    },
    onFailure: (error) => {
      events.onStreamError?.(client, error.message);
      end(status.INTERNAL, `serving failed: ${error.message}`);
    },
  });
  return { client, session, end };
}
