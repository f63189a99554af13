// Quotas: the stream to the quota service (envoy.service.rate_limit_quota.v3): usage goes up, assignments come back.

import { create } from '@bufbuild/protobuf';
import type { Duration } from '@bufbuild/protobuf/wkt';
import {
  type ChannelCredentials,
  type ClientDuplexStream,
  Metadata,
  makeClientConstructor,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { readStrategy } from '@lateen/filters-wasm';
import { grpcService } from '@lateen/xds-proto';
import {
  BucketIdSchema,
  RateLimitQuotaUsageReports_BucketQuotaUsageSchema as BucketQuotaUsageSchema,
  type RateLimitQuotaResponse,
  type RateLimitQuotaResponse_BucketAction,
  RateLimitQuotaService,
  type RateLimitQuotaUsageReports,
  RateLimitQuotaUsageReportsSchema,
} from '@lateen/xds-proto/envoy/service/rate_limit_quota/v3/rlqs_pb.js';
import type { QuotaBucket, QuotaBuckets } from './quota-buckets.js';

export interface QuotaSessionOptions {
  readonly buckets: QuotaBuckets;
  /** gRPC target of the quota service. */
  readonly target: string;
  readonly credentials: ChannelCredentials;
  readonly channelOptions: Record<string, string>;
  /** Of the own node: the service knows by it which proxy has come back. */
  readonly nodeId: string;
  /** Milliseconds of the data path's clock. */
  readonly nowMs: () => number;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
}

type Stream = ClientDuplexStream<RateLimitQuotaUsageReports, RateLimitQuotaResponse>;

const TICK_MS = 50;
/**
 * How the connection is kept. When the service starts again it waits two seconds for all proxies before it divides (Pilot's
 * quota ledger): who comes later still has its old share, and the others have been given it. So nobody may wait long.
 */
const CHANNEL_OPTIONS = {
  'grpc.initial_reconnect_backoff_ms': 250,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
};
/** While there is no connection streams fail at once. */
const RETRY_MS = 250;
/** Keeps messages well below the 4 MB that a gRPC server takes. */
const MAX_USAGES = 256;
/** The quota protocol has no place for it. */
const NODE_ID_METADATA = 'x-lateen-node-id-bin';
const Client = makeClientConstructor(grpcService(RateLimitQuotaService) as ServiceDefinition, 'RateLimitQuotaService');

/** Connects when the first bucket is made. While the service is away the last assignments count. */
export class QuotaSession {
  readonly #client: InstanceType<typeof Client>;
  readonly #streams = new Map<string, Stream>();
  readonly #retryAtMs = new Map<string, number>();
  readonly #away = new Set<string>();
  /** Made since the last turn of the event loop. */
  #made: QuotaBucket[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(private readonly options: QuotaSessionOptions) {
    this.#client = new Client(options.target, options.credentials, { ...CHANNEL_OPTIONS, ...options.channelOptions });
    options.buckets.onMade = (bucket) => this.#onMade(bucket);
  }

  close(): void {
    this.#closed = true;
    this.options.buckets.onMade = undefined;
    clearInterval(this.#timer);
    for (const stream of this.#streams.values()) stream.cancel();
    this.#client.close();
  }

  /** New buckets are told of at once, so that their quotas come soon; not before their requests have been counted. */
  #onMade(bucket: QuotaBucket): void {
    if (this.#closed) return;
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
    if (this.#made.push(bucket) > 1) return;
    setImmediate(() => {
      const made = this.#made;
      this.#made = [];
      if (!this.#closed) this.#reportAll(made, this.options.nowMs());
    });
  }

  #tick(): void {
    const { buckets, nowMs } = this.options;
    const now = nowMs();
    buckets.expire(now);
    const due: QuotaBucket[] = [];
    for (const bucket of buckets) if (buckets.isDue(bucket, now)) due.push(bucket);
    this.#reportAll(due, now);
  }

  #reportAll(list: readonly QuotaBucket[], nowMs: number): void {
    const byDomain = new Map<string, QuotaBucket[]>();
    for (const bucket of list) {
      // Another may have its place by now.
      if (!this.options.buckets.holds(bucket)) continue;
      const { domain } = bucket.branch;
      const of = byDomain.get(domain);
      if (of === undefined) byDomain.set(domain, [bucket]);
      else of.push(bucket);
    }
    for (const [domain, of] of byDomain) this.#report(domain, of, nowMs);
  }

  /** What the stream does not take now is due again at the next tick, with what is used until then. */
  #report(domain: string, list: readonly QuotaBucket[], nowMs: number): void {
    const stream = this.#streamOf(domain, nowMs);
    if (stream === undefined) return;
    for (let start = 0; start < list.length && !stream.writableNeedDrain; start += MAX_USAGES) {
      const bucketQuotaUsages = list.slice(start, start + MAX_USAGES).map((bucket) => {
        const { allowed, denied, elapsedMs = 1 } = this.options.buckets.takeUsage(bucket, nowMs);
        return create(BucketQuotaUsageSchema, {
          bucketId: create(BucketIdSchema, { bucket: { ...bucket.id } }),
          timeElapsed: duration(Math.max(elapsedMs, 1)),
          numRequestsAllowed: BigInt(allowed),
          numRequestsDenied: BigInt(denied),
        });
      });
      stream.write(create(RateLimitQuotaUsageReportsSchema, { domain, bucketQuotaUsages }));
    }
  }

  #streamOf(domain: string, nowMs: number): Stream | undefined {
    const open = this.#streams.get(domain);
    if (open !== undefined || nowMs < (this.#retryAtMs.get(domain) ?? 0)) return open;
    const metadata = new Metadata();
    metadata.set(NODE_ID_METADATA, Buffer.from(this.options.nodeId));
    const client = this.#client as unknown as Record<string, (metadata: Metadata) => Stream>;
    const stream = client.streamRateLimitQuotas?.(metadata) as Stream;
    this.#streams.set(domain, stream);
    this.options.buckets.tellAgain(domain);
    stream.on('data', (response: RateLimitQuotaResponse) => {
      if (this.#away.delete(domain)) this.options.log('info', 'the quota service is back', { domain });
      for (const action of response.bucketAction) this.#act(domain, action);
    });
    const over = (reason: string) => {
      if (this.#streams.get(domain) !== stream || this.#closed) return;
      this.#streams.delete(domain);
      this.#retryAtMs.set(domain, this.options.nowMs() + RETRY_MS);
      if (this.#away.has(domain)) return;
      this.#away.add(domain);
      this.options.log('warn', 'the quota service is away; the last quotas count', { domain, reason });
    };
    stream.on('error', (error) => over(error.message));
    stream.on('end', () => over('the stream ended'));
    return stream;
  }

  #act(domain: string, { bucketId, bucketAction }: RateLimitQuotaResponse_BucketAction): void {
    const { buckets, nowMs, log } = this.options;
    const bucket = buckets.find(domain, bucketId?.bucket ?? {});
    // It may have been forgotten meanwhile.
    if (bucket === undefined) return;
    if (bucketAction.case === 'abandonAction') {
      buckets.abandon(bucket);
      return;
    }
    if (bucketAction.case !== 'quotaAssignmentAction') return;
    const { rateLimitStrategy, assignmentTimeToLive } = bucketAction.value;
    const faults: string[] = [];
    const add = (path: string, message: string) => faults.push(`${path} ${message}`);
    const strategy = readStrategy({ add }, 'rate_limit_strategy', rateLimitStrategy);
    if (faults.length > 0) {
      log('error', 'a quota was refused; the previous one counts', { domain, bucket: bucketId?.bucket, faults });
      return;
    }
    const ttlMs = milliseconds(assignmentTimeToLive);
    buckets.assign(bucket, strategy, ttlMs === 0 ? Number.POSITIVE_INFINITY : ttlMs, nowMs());
  }
}

function duration(ms: number): { seconds: bigint; nanos: number } {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: Math.round((ms % 1000) * 1e6) };
}

function milliseconds(value: Duration | undefined): number {
  return value === undefined ? 0 : Number(value.seconds) * 1000 + value.nanos / 1e6;
}
