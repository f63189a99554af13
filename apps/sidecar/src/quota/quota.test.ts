// Quotas from the filter to the answer: usage is reported, assignments count, and outlast the service that made them.

import { create } from '@bufbuild/protobuf';
import {
  credentials,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { grpcService } from '@lateen/xds-proto';
import {
  type RateLimitQuotaResponse,
  RateLimitQuotaResponseSchema,
  RateLimitQuotaService,
  type RateLimitQuotaUsageReports,
} from '@lateen/xds-proto/envoy/service/rate_limit_quota/v3/rlqs_pb.js';
import { expect, it, onTestFinished, vi } from 'vitest';
import { anyHost, connectionManager, dataPlaneConfig, listener } from '../testing/envoy-config.js';
import { type ProxyFixture, startProxy } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';
import { QuotaSession } from './quota-session.js';

const TYPES = 'type.googleapis.com/envoy';
const CLUSTER = 'control-plane';
const WITHIN = { timeout: 15_000, interval: 20 };

/** What a quota service sees, and says. */
interface QuotaServer {
  readonly port: number;
  readonly reports: RateLimitQuotaUsageReports[];
  assign(user: string, requests: number): void;
  abandon(user: string): void;
  stop(): void;
}

async function startQuotaServer(port = 0): Promise<QuotaServer> {
  const reports: RateLimitQuotaUsageReports[] = [];
  let stream: ServerDuplexStream<RateLimitQuotaUsageReports, RateLimitQuotaResponse> | undefined;
  const server = new Server();
  server.addService(
    grpcService(RateLimitQuotaService) as ServiceDefinition,
    {
      streamRateLimitQuotas: (call: ServerDuplexStream<RateLimitQuotaUsageReports, RateLimitQuotaResponse>) => {
        stream = call;
        call.on('data', (report: RateLimitQuotaUsageReports) => reports.push(report));
        call.on('error', () => undefined);
      },
    } as UntypedServiceImplementation,
  );
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, at) =>
      error === null ? resolve(at) : reject(error),
    ),
  );
  onTestFinished(() => server.forceShutdown());
  const say = (user: string, bucketAction: RateLimitQuotaResponse['bucketAction'][number]['bucketAction']) =>
    stream?.write(
      create(RateLimitQuotaResponseSchema, {
        bucketAction: [{ bucketId: { bucket: { rule: 'r', user } }, bucketAction }],
      }),
    );
  return {
    port: bound,
    reports,
    assign: (user, requests) =>
      say(user, {
        case: 'quotaAssignmentAction',
        value: {
          $typeName: 'envoy.service.rate_limit_quota.v3.RateLimitQuotaResponse.BucketAction.QuotaAssignmentAction',
          rateLimitStrategy: {
            $typeName: 'envoy.type.v3.RateLimitStrategy',
            strategy: {
              case: 'tokenBucket',
              value: {
                $typeName: 'envoy.type.v3.TokenBucket',
                maxTokens: requests,
                tokensPerFill: requests,
                fillInterval: { $typeName: 'google.protobuf.Duration', seconds: 3600n, nanos: 0 },
              },
            },
          },
        },
      }),
    abandon: (user) =>
      say(user, {
        case: 'abandonAction',
        value: { $typeName: 'envoy.service.rate_limit_quota.v3.RateLimitQuotaResponse.BucketAction.AbandonAction' },
      }),
    stop: () => server.forceShutdown(),
  };
}

function config(idle = '10s') {
  const header = {
    custom_value: {
      name: 'user',
      typed_config: { '@type': `${TYPES}.type.matcher.v3.HttpRequestHeaderMatchInput`, header_name: 'x-user' },
    },
  };
  const settings = {
    '@type': `${TYPES}.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaBucketSettings`,
    bucket_id_builder: { bucket_id_builder: { rule: { string_value: 'r' }, user: header } },
    reporting_interval: '0.15s',
    no_assignment_behavior: { fallback_rate_limit: { token_bucket: { max_tokens: 1, fill_interval: '3600s' } } },
    expired_assignment_behavior: { expired_assignment_behavior_timeout: '3600s', reuse_last_assignment: {} },
    deny_response_settings: { http_body: Buffer.from('too many').toString('base64') },
  };
  const filter = {
    '@type': `${TYPES}.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaFilterConfig`,
    rlqs_server: { envoy_grpc: { cluster_name: CLUSTER } },
    domain: 'mesh',
    bucket_matchers: { on_no_match: { action: { name: 'bucket', typed_config: settings } } },
  };
  const routes = anyHost({ match: { prefix: '/' }, direct_response: { status: 200 } });
  const filters = [{ name: 'quota', typed_config: filter }];
  const chain = { filters: [connectionManager(routes, { stream_idle_timeout: idle }, filters)] };
  return dataPlaneConfig([listener('l', [chain])], []);
}

function startSession(proxy: ProxyFixture, port: number) {
  const session = new QuotaSession({
    buckets: proxy.dataPlane.quotas,
    target: `ipv4:127.0.0.1:${port}`,
    credentials: credentials.createInsecure(),
    channelOptions: {},
    nodeId: 'sidecar~10.0.0.1~web.default~default.svc.cluster.local',
    nowMs: () => performance.now(),
    log: () => undefined,
  });
  onTestFinished(() => session.close());
}

/** How many of so many requests of a user are let through. */
async function allowed(proxy: ProxyFixture, user: string, count: number): Promise<number> {
  let found = 0;
  for (let index = 0; index < count; index++) {
    const response = await fetch(`http://127.0.0.1:${proxy.port()}/`, { headers: { 'x-user': user } });
    const body = await response.text();
    if (response.status === 200) found++;
    else expect([response.status, body]).toEqual([429, 'too many']);
  }
  return found;
}

function reported({ reports }: QuotaServer, user: string) {
  let sums = { allowed: 0, denied: 0 };
  for (const usage of reports.flatMap(({ bucketQuotaUsages }) => bucketQuotaUsages)) {
    if (usage.bucketId?.bucket.user !== user) continue;
    sums = {
      allowed: sums.allowed + Number(usage.numRequestsAllowed),
      denied: sums.denied + Number(usage.numRequestsDenied),
    };
  }
  return sums;
}

it('goes by the filter until there is an assignment, reports what was used, and does as assigned', async () => {
  const server = await startQuotaServer();
  const proxy = await startProxy(config(), { quotaCluster: CLUSTER });
  startSession(proxy, server.port);
  expect(await allowed(proxy, 'ann', 3)).toBe(1);
  await eventually(() => reported(server, 'ann').denied === 2, 'usage was reported');
  expect(reported(server, 'ann')).toEqual({ allowed: 1, denied: 2 });
  expect(server.reports[0]?.domain).toBe('mesh');
  server.assign('ann', 100);
  // A bucket keeps what it holds: nothing, so that an assignment is no present. A new one of the service is full.
  expect(await allowed(proxy, 'ann', 2)).toBe(0);
  expect(await allowed(proxy, 'bob', 1)).toBe(1);
  await eventually(() => reported(server, 'bob').allowed === 1, 'bob was reported');
  server.assign('bob', 3600 * 1000);
  await eventually(() => proxy.dataPlane.quotas.find('mesh', { rule: 'r', user: 'bob' }) !== undefined, 'bob is known');
  await vi.waitFor(async () => expect(await allowed(proxy, 'bob', 5)).toBe(5), WITHIN);
});

it('keeps assignments while the service is away, and reports when it is back', async () => {
  const server = await startQuotaServer();
  const proxy = await startProxy(config(), { quotaCluster: CLUSTER });
  startSession(proxy, server.port);
  expect(await allowed(proxy, 'ann', 2)).toBe(1);
  await eventually(() => reported(server, 'ann').denied === 1, 'usage was reported');
  server.assign('ann', 3600 * 1000);
  await vi.waitFor(async () => expect(await allowed(proxy, 'ann', 5)).toBe(5), WITHIN);
  server.stop();
  expect(await allowed(proxy, 'ann', 10)).toBeGreaterThan(5);
  const again = await startQuotaServer(server.port);
  await eventually(() => reported(again, 'ann').allowed > 0, 'usage is reported to the next server');
  // A new configuration with the same filter changes nothing.
  await proxy.dataPlane.apply(config('20s'));
  expect(await allowed(proxy, 'ann', 5)).toBe(5);
  again.abandon('ann');
  // By the filter again: one an hour.
  await vi.waitFor(async () => expect(await allowed(proxy, 'ann', 5)).toBe(0), WITHIN);
});

it('refuses a quota service that is not the control plane', async () => {
  await expect(startProxy(config(), { quotaCluster: 'other' })).rejects.toThrow(
    /rlqs_server.*must be the cluster of the control plane: name "other"/,
  );
});
