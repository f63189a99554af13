// Registry: keeps one stream to Pilot open and sends it the newest report; connects again whenever it breaks.

import { Client, type ClientDuplexStream } from '@grpc/grpc-js';
import { grpcChannelCredentials, type IdentitySource, type SpiffeId } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import { grpcService } from '@lateen/xds-proto';
import {
  type AddressedHost,
  type RegistryAck,
  type RegistryReport,
  WorkloadRegistry,
} from '@lateen/xds-proto/lateen/registry/v1/workload_pb.js';

import type { EntryHost } from './entry-hosts.js';

const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 2000;
const ACKNOWLEDGE_LIMIT_MS = 1000;
const PUSH_TIME_MS = 500;

export interface RegistryStreamOptions {
  readonly pilotAddress: string;
  readonly pilotSpiffeId: SpiffeId;
  readonly identity: IdentitySource;
  readonly logger: Logger;
  /** Builds the complete present state under a sequence number. */
  readonly buildReport: (sequence: bigint) => RegistryReport;
  /** Pilot said for which hosts, beside services, pods need addresses. */
  readonly onHosts: (hosts: readonly EntryHost[]) => void;
}

/** Without protobuf's own fields. */
function plainHost({ host, namespaces, ports }: AddressedHost): EntryHost {
  return { host, namespaces, ports: ports.map(({ name, port }) => ({ name, port })) };
}

export class RegistryStream {
  readonly #options: RegistryStreamOptions;
  readonly #client: Client;
  #stream: ClientDuplexStream<RegistryReport, RegistryAck> | undefined;
  #retryMs = FIRST_RETRY_MS;
  #retryTimer: NodeJS.Timeout | undefined;
  #sequence = 0n;
  #acknowledged = 0n;
  #failure: string | undefined = 'not connected yet';
  #scheduled = false;
  #closed = false;
  readonly #waiters = new Map<() => void, bigint>();

  constructor(options: RegistryStreamOptions) {
    this.#options = options;
    const credentials = grpcChannelCredentials(options.identity, { expectedSpiffeIds: [options.pilotSpiffeId] });
    this.#client = new Client(options.pilotAddress, credentials, {
      'grpc.keepalive_time_ms': 10_000,
      'grpc.keepalive_timeout_ms': 5000,
      'grpc.initial_reconnect_backoff_ms': FIRST_RETRY_MS,
      'grpc.max_reconnect_backoff_ms': MAX_RETRY_MS,
    });
    this.#connect();
  }

  /** Why Pilot does not take reports now; undefined where it does. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Says that something changed. Changes of one turn of the event loop travel in one report. */
  changed(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  /**
   * Resolves when Pilot has stored the present state and its proxies had time to take it: Pilot's debounce and a push.
   * Without Pilot it resolves after the same time: then nobody can be told.
   */
  async settled(): Promise<void> {
    await this.acknowledged(ACKNOWLEDGE_LIMIT_MS);
    await new Promise((wake) => setTimeout(wake, PUSH_TIME_MS));
  }

  /** Resolves when Pilot has stored the present state, or after the limit; to whether it has. */
  acknowledged(limitMs: number): Promise<boolean> {
    const sequence = this.#sequence + (this.#scheduled ? 1n : 0n);
    return new Promise((resolve) => {
      const end = (isAcknowledged: boolean) => {
        clearTimeout(timer);
        this.#waiters.delete(done);
        resolve(isAcknowledged);
      };
      const done = () => end(true);
      const timer = setTimeout(() => end(false), limitMs);
      this.#waiters.set(done, sequence);
      this.#notify();
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    this.#stream?.cancel();
    this.#client.close();
  }

  #connect(): void {
    const method = grpcService(WorkloadRegistry).report!;
    const stream = this.#client.makeBidiStreamRequest<RegistryReport, RegistryAck>(
      method.path,
      method.requestSerialize as (value: RegistryReport) => Buffer,
      method.responseDeserialize as unknown as (bytes: Buffer) => RegistryAck,
    );
    this.#stream = stream;
    stream.on('data', (ack: RegistryAck) => {
      this.#retryMs = FIRST_RETRY_MS;
      if (ack.sequence > this.#acknowledged) this.#acknowledged = ack.sequence;
      this.#failure = undefined;
      this.#notify();
      if (ack.hosts !== undefined) this.#options.onHosts(ack.hosts.hosts.map(plainHost));
    });
    let ended = false;
    const end = (reason: string) => {
      if (ended) return;
      ended = true;
      this.#stream = undefined;
      this.#failure = reason;
      if (this.#closed) return;
      this.#options.logger.debug({ reason, retryInMs: this.#retryMs }, 'the registry stream to Pilot ended; retrying');
      this.#retryTimer = setTimeout(() => this.#connect(), this.#retryMs);
      this.#retryMs = Math.min(MAX_RETRY_MS, this.#retryMs * 2);
    };
    stream.on('error', (error) => end(error.message));
    stream.on('end', () => {
      stream.end();
      end('closed by Pilot');
    });
    this.#send();
  }

  #send(): void {
    if (this.#stream === undefined) return;
    this.#sequence++;
    this.#stream.write(this.#options.buildReport(this.#sequence));
  }

  #notify(): void {
    for (const [done, sequence] of [...this.#waiters]) {
      if (this.#acknowledged >= sequence) done();
    }
  }
}
