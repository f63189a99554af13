// Audit: has Citadel sign how far a log has come, over mutual TLS with the sidecar's own certificate.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client } from '@grpc/grpc-js';
import { formatSpiffeId, grpcChannelCredentials, type IdentitySource } from '@lateen/identity';
import {
  type CheckpointRequest,
  CheckpointRequestSchema,
  type CheckpointResponse,
  CheckpointResponseSchema,
} from '@lateen/xds-proto/lateen/audit/v1/checkpoint_pb.js';

/** How far a log has come: its last record on the disk, and what is in it up to there. */
export interface LogHead {
  readonly chain: string;
  readonly seq: number;
  readonly hash: string;
  readonly records: number;
  readonly dropped: number;
  readonly file: string;
}

/** Resolves to the signature, a compact JWS; undefined where nobody can be asked yet. Rejects where it is not to be had. */
export type SignCheckpoint = (head: LogHead, timeoutMs: number) => Promise<string | undefined>;

export interface CheckpointClientOptions {
  /** HOST:PORT of Citadel. */
  readonly citadelAddress: string;
  readonly trustDomain: string;
  readonly identity: IdentitySource;
  /** Who writes the log. */
  readonly node: string;
}

const METHOD = '/lateen.audit.v1.AuditCheckpoints/SignCheckpoint';

/** Connects when it is first asked, and then stays connected as long as Citadel lets it. */
export class CheckpointClient {
  #client: Client | undefined;

  constructor(private readonly options: CheckpointClientOptions) {}

  readonly sign: SignCheckpoint = async (head, timeoutMs) => {
    if (this.options.identity.current === undefined) return undefined;
    const { seq, records, dropped, ...rest } = head;
    const numbers = { seq: BigInt(seq), records: BigInt(records), dropped: BigInt(dropped) };
    const request = create(CheckpointRequestSchema, { ...rest, ...numbers, node: this.options.node });
    const { jws } = await this.#call(request, Date.now() + timeoutMs);
    if (jws === '') throw new Error('the answer has no signature');
    return jws;
  };

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  #call(request: CheckpointRequest, deadline: number): Promise<CheckpointResponse> {
    this.#client ??= this.#connect();
    const client = this.#client;
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        METHOD,
        (message: CheckpointRequest) => Buffer.from(toBinary(CheckpointRequestSchema, message)),
        (bytes: Buffer) => fromBinary(CheckpointResponseSchema, bytes),
        request,
        { deadline },
        (error, response) => (error === null ? resolve(response as CheckpointResponse) : reject(error)),
      );
    });
  }

  #connect(): Client {
    const { citadelAddress, trustDomain, identity } = this.options;
    const citadel = formatSpiffeId({ trustDomain, namespace: 'istio-system', serviceAccount: 'citadel' });
    const credentials = grpcChannelCredentials(identity, { expectedSpiffeIds: [citadel] });
    return new Client(citadelAddress, credentials, {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      // A log asks every few seconds, so one that could not connect tries again about as often.
      'grpc.max_reconnect_backoff_ms': 10_000,
    });
  }
}
