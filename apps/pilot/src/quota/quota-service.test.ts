// The quota service over real streams: large limits, a proxy that comes back, one that does not read.

import { EventEmitter } from 'node:events';
import { create } from '@bufbuild/protobuf';
import {
  type ClientDuplexStream,
  credentials,
  Metadata,
  makeClientConstructor,
  Server,
  ServerCredentials,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { createLogger } from '@lateen/telemetry';
import { type MeshSnapshot, QUOTA_DOMAIN, RULE_KEY } from '@lateen/translate';
import { grpcService } from '@lateen/xds-proto';
import {
  type RateLimitQuotaResponse,
  RateLimitQuotaService,
  type RateLimitQuotaUsageReports,
  RateLimitQuotaUsageReportsSchema,
} from '@lateen/xds-proto/envoy/service/rate_limit_quota/v3/rlqs_pb.js';
import { expect, it, onTestFinished, vi } from 'vitest';
import { type Call, QuotaAnswers } from './quota-answers.js';
import { Quotas } from './quota-service.js';

type Stream = ClientDuplexStream<RateLimitQuotaUsageReports, RateLimitQuotaResponse>;

const WITHIN = { timeout: 15_000, interval: 20 };
const logger = createLogger('test', 'silent');
const Client = makeClientConstructor(grpcService(RateLimitQuotaService) as ServiceDefinition, 'Quotas');

/** A service with these mesh-wide limits, by name in requests a second. */
async function startQuotas(limits: Record<string, number>) {
  const quotas = new Quotas(logger);
  const rules = Object.entries(limits).map(([name, requests]) => ({
    name,
    scope: 'MESH',
    limit: { requests, per: '1s' },
  }));
  const config = { metadata: { namespace: 'default', name: 'limit' }, spec: { rules } };
  quotas.publish({
    rootNamespace: 'istio-system',
    configsByKind: new Map([['RateLimit', [config]]]),
  } as unknown as MeshSnapshot);
  const server = new Server();
  const { definition, implementation } = quotas.createService(() => ({ identity: 'test', mayReport: () => true }));
  server.addService(definition, implementation);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, at) =>
      error === null ? resolve(at) : reject(error),
    ),
  );
  onTestFinished(() => {
    quotas.close();
    server.forceShutdown();
  });
  return port;
}

/** A proxy's stream; `perSecond` is what each rule's last quota lets through. */
function connect(port: number, nodeId?: string) {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  onTestFinished(() => client.close());
  const metadata = new Metadata();
  if (nodeId !== undefined) metadata.set('x-lateen-node-id-bin', Buffer.from(nodeId));
  const stream = (client as unknown as { streamRateLimitQuotas(metadata: Metadata): Stream }).streamRateLimitQuotas(
    metadata,
  );
  const perSecond: Record<string, number> = {};
  const errors: string[] = [];
  stream.on('error', ({ message }) => errors.push(message));
  stream.on('data', ({ bucketAction: actions }: RateLimitQuotaResponse) => {
    for (const { bucketId, bucketAction } of actions) {
      if (bucketAction.case !== 'quotaAssignmentAction') continue;
      const strategy = bucketAction.value.rateLimitStrategy?.strategy;
      if (strategy?.case !== 'tokenBucket') throw new Error('not a token bucket');
      const { tokensPerFill, fillInterval } = strategy.value;
      const seconds = Number(fillInterval?.seconds) + Number(fillInterval?.nanos) / 1e9;
      perSecond[bucketId?.bucket[RULE_KEY]?.split('/')[2] ?? ''] = (tokensPerFill ?? 0) / seconds;
    }
  });
  /** Tells that it was sent so many requests in 200 ms. */
  const report = (rule: string, used: number) =>
    stream.write(
      create(RateLimitQuotaUsageReportsSchema, {
        domain: QUOTA_DOMAIN,
        bucketQuotaUsages: [
          {
            bucketId: { bucket: { [RULE_KEY]: `default/limit/${rule}` } },
            timeElapsed: { seconds: 0n, nanos: 200_000_000 },
            numRequestsAllowed: BigInt(used),
          },
        ],
      }),
    );
  return { stream, perSecond, errors, report };
}

it('divides limits of any size, and one is no matter to the others', async () => {
  const port = await startQuotas({ huge: 1_000_000_000, large: 5_000_000, small: 1 });
  const proxy = connect(port);
  await vi.waitFor(() => {
    for (const rule of ['huge', 'large', 'small']) proxy.report(rule, 0);
    expect(proxy.errors).toEqual([]);
    expect(proxy.perSecond).toEqual({ huge: 1_000_000_000, large: 5_000_000, small: 1 });
  }, WITHIN);
});

it('gives a proxy that comes back what it had, at once', async () => {
  const port = await startQuotas({ all: 500 });
  const a = connect(port, 'sidecar~a');
  const b = connect(port, 'sidecar~b');
  const half = (proxy: { perSecond: Record<string, number> }) => Math.round(proxy.perSecond.all ?? 0);
  await vi.waitFor(() => {
    for (const each of [a, b]) each.report('all', 100);
    expect([half(a), half(b)]).toEqual([250, 250]);
  }, WITHIN);
  a.stream.cancel();
  const again = connect(port, 'sidecar~a');
  const seen = new Set<number>();
  await vi.waitFor(() => {
    for (const each of [again, b]) each.report('all', 100);
    seen.add(half(again));
    expect(half(again)).toBeGreaterThan(0);
  }, WITHIN);
  expect(half(again)).toBe(250);
  expect(half(b)).toBe(250);
  expect([...seen].filter((share) => share > 0)).toEqual([250]);
});

it('ends the stream of a proxy that does not read, before much waits for it', () => {
  const call = Object.assign(new EventEmitter(), { writableNeedDrain: true });
  const errors: Error[] = [];
  call.on('error', (error) => errors.push(error));
  const answers = new QuotaAnswers(call as unknown as Call, undefined, logger);
  for (let user = 0; user < 100_000; user++) answers.abandon({ rule: 'r', user: `${user}` });
  expect(errors.map(({ message }) => message)).toEqual(['more than 32768 quotas wait to be read; connect again']);
});

it('leaves out a quota that cannot be written', async () => {
  const written: RateLimitQuotaResponse[] = [];
  const call = Object.assign(new EventEmitter(), {
    writableNeedDrain: false,
    write: (response: RateLimitQuotaResponse) => written.push(response),
  });
  const answers = new QuotaAnswers(call as unknown as Call, undefined, logger);
  answers.assign({ rule: 'a' }, { requests: 2 ** 32, periodMs: 1_000, burst: 1 });
  answers.assign({ rule: 'b' }, { requests: 1, periodMs: 1_000, burst: 1 });
  await vi.waitFor(() => expect(written).toHaveLength(1), WITHIN);
  expect(written[0]?.bucketAction.map(({ bucketId }) => bucketId?.bucket.rule)).toEqual(['b']);
});
