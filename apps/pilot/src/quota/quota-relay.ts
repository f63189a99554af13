// Quotas: one of several replicas divides limits, the others hand their proxies' streams on to it.

import { type ChannelCredentials, Client, type ClientDuplexStream, type Metadata, status } from '@grpc/grpc-js';
import type { Logger } from '@lateen/telemetry';
import { grpcService } from '@lateen/xds-proto';
import {
  type RateLimitQuotaResponse,
  RateLimitQuotaService,
  type RateLimitQuotaUsageReports,
} from '@lateen/xds-proto/envoy/service/rate_limit_quota/v3/rlqs_pb.js';
import { hostAndPort, type PeerPilots, XDS_PORT_NAME } from '../peers/peer-pilots.js';
import type { Call } from './quota-answers.js';

/** gRPC metadata with the SPIFFE id of who a replica hands on; it counts where a replica says it. */
export const CALLER_METADATA = 'x-lateen-quota-caller-bin';

export interface QuotaRelayOptions {
  readonly peers: Pick<PeerPilots, 'list' | 'self'>;
  readonly credentials: () => ChannelCredentials;
  readonly logger: Logger;
}

export class QuotaRelay {
  readonly #calls = new Set<Call>();
  #target: string | undefined;
  #client: Client | undefined;

  constructor(private readonly options: QuotaRelayOptions) {}

  /** Another replica divides limits. */
  get isElsewhere(): boolean {
    return this.#target !== undefined;
  }

  /**
   * Looks who divides limits now: of all replicas that serve the first by name, which needs no agreement. For as long as
   * two see different ones, each divides the whole among those that it knows of.
   *
   * @returns whether that is this one from now on
   */
  follow(): boolean {
    const { peers, logger } = this.options;
    const [first] = peers.list();
    const port = first?.ports[XDS_PORT_NAME];
    const isHere = first === undefined || port === undefined || peers.self < first.name;
    const target = isHere ? undefined : hostAndPort(first.address, port);
    if (target === this.#target) return false;
    logger.info({ replica: isHere ? peers.self : first.name }, 'this replica divides mesh-wide limits from now on');
    this.#target = target;
    this.#endAll('another replica of pilot divides limits now; connect again');
    return isHere;
  }

  /** Hands a stream on. @param caller its SPIFFE id @param metadata of the stream, which goes with it */
  serve(call: Call, caller: string, metadata: Metadata): void {
    const { credentials, logger } = this.options;
    this.#client ??= new Client(this.#target!, credentials());
    const method = grpcService(RateLimitQuotaService).streamRateLimitQuotas!;
    const handedOn = metadata.clone();
    handedOn.set(CALLER_METADATA, Buffer.from(caller));
    const stream: ClientDuplexStream<RateLimitQuotaUsageReports, RateLimitQuotaResponse> =
      this.#client.makeBidiStreamRequest(
        method.path,
        method.requestSerialize as never,
        method.responseDeserialize as never,
        handedOn,
      );
    this.#calls.add(call);
    const over = () => {
      if (this.#calls.delete(call)) stream.cancel();
    };
    call.on('cancelled', over);
    call.on('error', over);
    call.on('end', () => stream.end());
    stream.on('error', (error: Error) => {
      if (!this.#calls.has(call)) return;
      logger.debug({ reason: error.message }, 'the replica that divides limits has ended a stream');
      call.emit('error', { code: status.UNAVAILABLE, details: `the replica that divides limits: ${error.message}` });
    });
    // Of messages, which Node's types of pipes do not know.
    call.pipe(stream as unknown as NodeJS.WritableStream);
    stream.pipe(call as unknown as NodeJS.WritableStream);
  }

  close(): void {
    this.#endAll('pilot is stopping; connect again');
  }

  #endAll(details: string): void {
    for (const call of [...this.#calls]) call.emit('error', { code: status.UNAVAILABLE, details });
    this.#client?.close();
    this.#client = undefined;
  }
}
