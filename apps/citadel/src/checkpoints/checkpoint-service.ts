// Checkpoints: the decision: only for a chain of the caller's own, only forward, and not too often; then it is remembered and signed.

import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { GrpcAccessError, parsePeerSpiffeId, parseSpiffeId } from '@lateen/identity';
import {
  type Checkpoint,
  type OpenedCheckpointKey,
  openCheckpointKey,
  type PublishedCheckpoints,
  signCheckpoint,
} from '@lateen/identity/checkpoints';
import type { Logger } from '@lateen/telemetry';
import type { StateLease } from '../authority/state-lease.js';
import { createRateLimits, type RateLimits } from '../rate-limits.js';
import { ChainHeads } from './chain-heads.js';

export interface CheckpointCall extends Omit<Checkpoint, 'workload' | 'time'> {
  /** DER of a client certificate that TLS has verified. */
  readonly clientCertificate: Uint8Array | undefined;
}

export interface CheckpointServiceOptions {
  readonly stateDir: string;
  readonly trustDomain: string;
  readonly passphrase: string | undefined;
  readonly lease: StateLease;
  readonly logger: Logger;
  readonly limits?: RateLimits;
}

/** On disk, in the state directory. */
export const CHECKPOINT_FILE = {
  key: 'checkpoint-key.pem',
  jwks: 'checkpoint-keys.json',
  chains: 'checkpoints.jsonl',
} as const;

/** Where there is no state directory: what was signed could not be remembered, so nothing is. */
export const NO_CHECKPOINTS: Pick<CheckpointService, 'sign' | 'published' | 'close'> = {
  sign: async () => {
    throw new GrpcAccessError(
      status.FAILED_PRECONDITION,
      'this Citadel signs no checkpoints: it has no volume to remember them (--state-dir)',
    );
  },
  published: { keys: [], chains: [] },
  close: async () => undefined,
};

/** A log asks about every ten seconds, once at its end, and a workload may have many replicas. */
const OF_IDENTITY = { perSecond: 50, burst: 500 };
const OF_ALL = { perSecond: 500, burst: 2000 };
const MAX_TEXT = 512;

export class CheckpointService {
  private constructor(
    private readonly options: CheckpointServiceOptions,
    private readonly key: OpenedCheckpointKey,
    private readonly heads: ChainHeads,
    private readonly limits: RateLimits,
  ) {}

  /** @throws Error naming the file that cannot be used */
  static async open(options: CheckpointServiceOptions): Promise<CheckpointService> {
    const { stateDir, lease, passphrase } = options;
    const key = await openCheckpointKey({
      keyFile: join(stateDir, CHECKPOINT_FILE.key),
      jwksFile: join(stateDir, CHECKPOINT_FILE.jwks),
      passphrase,
      mayWrite: () => lease.check(),
    });
    const heads = await ChainHeads.open({ file: join(stateDir, CHECKPOINT_FILE.chains), lease });
    const limits = options.limits ?? createRateLimits({ identity: OF_IDENTITY, total: OF_ALL });
    return new CheckpointService(options, key, heads, limits);
  }

  get published(): PublishedCheckpoints {
    return { keys: this.key.jwks.keys, chains: this.heads.all };
  }

  /** A compact JWS. @throws GrpcAccessError */
  async sign(call: CheckpointCall): Promise<string> {
    const { clientCertificate, ...asked } = call;
    const workload = this.#callerOf(clientCertificate);
    if (this.limits.take(workload) !== 'ok')
      throw new GrpcAccessError(status.RESOURCE_EXHAUSTED, 'the rate limit of checkpoints is reached; try later');
    const fault = faultOf(asked);
    if (fault !== undefined) throw new GrpcAccessError(status.INVALID_ARGUMENT, fault);
    const checkpoint: Checkpoint = { ...asked, workload, time: new Date().toISOString() };
    this.#refuseWhatCannotFollow(checkpoint);
    await this.heads.set(checkpoint);
    return signCheckpoint(checkpoint, this.key);
  }

  close(): Promise<void> {
    return this.heads.close();
  }

  /** TLS has verified the chain at the handshake; the dates are looked at again, since connections live on. */
  #callerOf(certificate: Uint8Array | undefined): string {
    const refuse = (reason: string) => new GrpcAccessError(status.UNAUTHENTICATED, reason);
    if (certificate === undefined) throw refuse('a verified client certificate is required');
    const { validFrom, validTo } = new X509Certificate(certificate);
    const now = Date.now();
    if (now < Date.parse(validFrom) || now > Date.parse(validTo)) {
      throw refuse(`the client certificate is valid from ${validFrom} to ${validTo}`);
    }
    try {
      const workload = parsePeerSpiffeId(certificate);
      const { trustDomain } = parseSpiffeId(workload);
      if (trustDomain === this.options.trustDomain) return workload;
      throw new Error(`it is of the trust domain ${trustDomain}`);
    } catch (error) {
      throw refuse(`the client certificate proves nothing: ${(error as Error).message}`);
    }
  }

  #refuseWhatCannotFollow(checkpoint: Checkpoint): void {
    const { chain, workload, seq, hash } = checkpoint;
    const last = this.heads.get(chain);
    const refuse = (code: status, reason: string) => {
      this.options.logger.warn({ chain, workload, seq, last }, `checkpoint refused: ${reason}`);
      return new GrpcAccessError(code, reason);
    };
    if (last === undefined) {
      if (this.heads.makeRoom(workload, Date.now())) return;
      throw refuse(status.RESOURCE_EXHAUSTED, `there is no room for another chain of ${workload}`);
    }
    if (last.workload !== workload) throw refuse(status.PERMISSION_DENIED, `chain ${chain} is not one of ${workload}`);
    const goesOn = seq > last.seq || (seq === last.seq && hash === last.hash);
    if (!goesOn) throw refuse(status.FAILED_PRECONDITION, `chain ${chain} was signed up to record ${last.seq} already`);
  }
}

function faultOf({ chain, seq, hash, records, dropped, node, file }: Omit<CheckpointCall, 'clientCertificate'>) {
  if (!/^[0-9a-f]{16}$/.test(chain)) return 'chain must be 16 hexadecimal digits';
  if (!/^[0-9a-f]{64}$/.test(hash)) return 'hash must be a SHA-256 in hexadecimal digits';
  if (![seq, records, dropped].every(Number.isSafeInteger) || seq < 1) return 'seq, records and dropped must be counts';
  return node.length > MAX_TEXT || file.length > MAX_TEXT ? `node and file may have ${MAX_TEXT} characters` : undefined;
}
