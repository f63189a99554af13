// Many values of one limit: what is kept of them here, and how much is sent to the quota service.

import { type AddressInfo, createServer } from 'node:net';
import { create } from '@bufbuild/protobuf';
import {
  credentials,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import {
  createCore,
  QUOTA_BUCKET_ALLOWED,
  QUOTA_BUCKET_BRANCH,
  QUOTA_BUCKET_BYTES,
  QUOTA_BUCKETS,
  QUOTA_KEY_TEXT,
  QUOTA_MADE,
  QUOTA_MADE_COUNT,
  type QuotaBranch,
} from '@lateen/filters-wasm';
import { grpcService } from '@lateen/xds-proto';
import { GrpcServiceSchema } from '@lateen/xds-proto/envoy/config/core/v3/grpc_service_pb.js';
import {
  type RateLimitQuotaResponse,
  RateLimitQuotaResponseSchema,
  RateLimitQuotaService,
  type RateLimitQuotaUsageReports,
} from '@lateen/xds-proto/envoy/service/rate_limit_quota/v3/rlqs_pb.js';
import { expect, it, onTestFinished, vi } from 'vitest';
import { eventually } from '../testing/raw-peers.js';
import { QuotaBuckets } from './quota-buckets.js';
import { QuotaSession } from './quota-session.js';

type Call = ServerDuplexStream<RateLimitQuotaUsageReports, RateLimitQuotaResponse>;

const NODE_ID = 'sidecar~10.0.0.1~web.default~default.svc.cluster.local';

async function startService(onCall: (call: Call) => void): Promise<number> {
  const server = new Server();
  const implementation = {
    streamRateLimitQuotas: (call: Call) => {
      call.on('error', () => undefined);
      onCall(call);
    },
  } as UntypedServiceImplementation;
  server.addService(grpcService(RateLimitQuotaService) as ServiceDefinition, implementation);
  onTestFinished(() => server.forceShutdown());
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  );
}

/** Buckets as the core makes them, one for a request, without the requests. */
function startBuckets(domain: string) {
  const core = createCore();
  const branch: QuotaBranch = {
    id: 1,
    service: create(GrpcServiceSchema),
    domain,
    keys: ['user'],
    reportingIntervalMs: 101,
    expired: 'reuse',
    expiredForMs: 0,
  };
  const buckets = new QuotaBuckets(core, { idOf: () => branch.id, branch: () => branch });
  const placeOf = (place: number) => QUOTA_BUCKETS + place * QUOTA_BUCKET_BYTES;
  /** A request counts in the bucket of a place. */
  const use = (place: number) => {
    const at = (placeOf(place) + QUOTA_BUCKET_ALLOWED) >> 3;
    core.f64[at] = (core.f64[at] ?? 0) + 1;
  };
  /** The first request of a value: what the place held before is forgotten. */
  const make = (user: string, place: number) => {
    core.bytes.fill(0, placeOf(place), placeOf(place) + QUOTA_BUCKET_BYTES);
    core.i32[(placeOf(place) + QUOTA_BUCKET_BRANCH) >> 2] = branch.id;
    core.i32[QUOTA_KEY_TEXT >> 2] = core.bytes.write(user, QUOTA_KEY_TEXT + 4);
    core.i32[QUOTA_MADE >> 2] = placeOf(place);
    core.i32[(QUOTA_MADE + 4) >> 2] = QUOTA_KEY_TEXT;
    core.i32[QUOTA_MADE_COUNT >> 2] = 1;
    use(place);
    buckets.noteMade();
  };
  return { buckets, make, use };
}

function startSession(buckets: QuotaBuckets, port: number): void {
  const session = new QuotaSession({
    buckets,
    target: `ipv4:127.0.0.1:${port}`,
    credentials: credentials.createInsecure(),
    channelOptions: {},
    nodeId: NODE_ID,
    nowMs: () => performance.now(),
    log: () => undefined,
  });
  onTestFinished(() => session.close());
}

const usagesOf = (reports: readonly RateLimitQuotaUsageReports[], user: string) =>
  reports.flatMap(({ bucketQuotaUsages }) =>
    bucketQuotaUsages.filter(({ bucketId }) => bucketId?.bucket.user === user),
  );

const turn = () => new Promise((resolve) => setImmediate(resolve));

it('tells of many new values in few messages, and says which proxy it is', async () => {
  const reports: RateLimitQuotaUsageReports[] = [];
  const nodeIds: unknown[] = [];
  const port = await startService((call) => {
    nodeIds.push(String(call.metadata.get('x-lateen-node-id-bin')[0]));
    call.on('data', (report: RateLimitQuotaUsageReports) => reports.push(report));
  });
  const { buckets, make } = startBuckets('mesh');
  startSession(buckets, port);
  for (let value = 0; value < 2_000; value++) make(`v${value}`, value);
  await eventually(() => usagesOf(reports, 'v1999').length > 0, 'all are told of');
  const first = reports.findIndex(({ bucketQuotaUsages }) =>
    bucketQuotaUsages.some(({ bucketId }) => bucketId?.bucket.user === 'v1999'),
  );
  expect(first).toBeLessThan(50);
  expect(Math.max(...reports.map(({ bucketQuotaUsages }) => bucketQuotaUsages.length))).toBeLessThanOrEqual(256);
  expect(nodeIds).toEqual([NODE_ID]);
});

it('sends no more than the service reads', async () => {
  const reports: RateLimitQuotaUsageReports[] = [];
  let read: (() => void) | undefined;
  const port = await startService((call) => {
    read = () => call.on('data', (report: RateLimitQuotaUsageReports) => reports.push(report));
  });
  const { buckets, make } = startBuckets('mesh');
  startSession(buckets, port);
  make('first', 0);
  await eventually(() => read !== undefined, 'the stream is open');
  const longName = 'x'.repeat(200);
  for (let value = 0; value < 50_000; value++) {
    make(`v${value}${longName}`, value % 1_000);
    if (value % 10 === 0) await turn();
  }
  read?.();
  await eventually(() => usagesOf(reports, `v49999${longName}`).length > 0, 'the last one is told of');
  // What waited was given up for those that have its place.
  expect(reports.reduce((sum, { bucketQuotaUsages }) => sum + bucketQuotaUsages.length, 0)).toBeLessThan(25_000);
});

it('keeps nothing of a value whose place another has', async () => {
  const reports: RateLimitQuotaUsageReports[] = [];
  const port = await startService((call) => call.on('data', (report) => reports.push(report)));
  const { buckets, make } = startBuckets('mesh');
  startSession(buckets, port);
  make('ann', 0);
  await eventually(() => usagesOf(reports, 'ann').length > 1, 'ann is told of');
  make('bob', 0);
  await eventually(() => usagesOf(reports, 'bob').length > 1, 'bob is told of');
  expect([...buckets].map(({ id }) => id.user)).toEqual(['bob']);
  reports.length = 0;
  make('ann', 1);
  await eventually(() => usagesOf(reports, 'ann').length > 0, 'ann is told of again');
  // As of a bucket that has never been: no time in which its request came.
  expect(usagesOf(reports, 'ann')[0]?.timeElapsed).toMatchObject({ seconds: 0n, nanos: 1_000_000 });
});

it('tells no more of a value that is not used, or that the service abandons, until it is used again', async () => {
  const reports: RateLimitQuotaUsageReports[] = [];
  let answer: ((user: string) => void) | undefined;
  const port = await startService((call) => {
    call.on('data', (report: RateLimitQuotaUsageReports) => reports.push(report));
    answer = (user) => {
      const value = {
        $typeName: 'envoy.service.rate_limit_quota.v3.RateLimitQuotaResponse.BucketAction.AbandonAction' as const,
      };
      const action = {
        bucketId: { bucket: { user } },
        bucketAction: { case: 'abandonAction' as const, value },
      };
      call.write(create(RateLimitQuotaResponseSchema, { bucketAction: [action] }));
    };
  });
  const { buckets, make, use } = startBuckets('mesh');
  startSession(buckets, port);
  make('idle', 0);
  make('gone', 1);
  await eventually(() => answer !== undefined && usagesOf(reports, 'gone').length > 0, 'both are told of');
  answer?.('gone');
  // The other place is used all the time: as long as it is told of, the rest could be.
  make('busy', 2);
  const busyFor = async (count: number) => {
    const before = usagesOf(reports, 'busy').length;
    await eventually(() => {
      use(2);
      return usagesOf(reports, 'busy').length >= before + count;
    }, 'busy is told of');
  };
  await busyFor(14);
  const idle = usagesOf(reports, 'idle').length;
  const gone = usagesOf(reports, 'gone').length;
  expect(idle).toBeGreaterThan(5);
  expect(gone).toBeLessThan(idle);
  await busyFor(5);
  expect([usagesOf(reports, 'idle').length, usagesOf(reports, 'gone').length]).toEqual([idle, gone]);
  use(0);
  use(1);
  await eventually(
    () => usagesOf(reports, 'idle').length > idle && usagesOf(reports, 'gone').length > gone,
    'used again',
  );
});

it('keeps and tells nothing of limits that are the proxy’s own', async () => {
  const { buckets, make } = startBuckets('lateen.proxy');
  let made = 0;
  buckets.onMade = () => made++;
  for (let value = 0; value < 1_000; value++) make(`v${value}`, value);
  expect([[...buckets].length, made]).toEqual([0, 0]);
});

it('tries again soon, however long the service has been away', async () => {
  let attempts = 0;
  const nobody = createServer((socket) => {
    attempts++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => nobody.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void nobody.close());
  const { buckets, make } = startBuckets('mesh');
  startSession(buckets, (nobody.address() as AddressInfo).port);
  make('v', 0);
  // gRPC by itself waits 1 s, then 1.6 times as long each time, up to two minutes: the fifth would come after some 9 s.
  await vi.waitFor(() => expect(attempts).toBeGreaterThanOrEqual(5), { timeout: 6_500, interval: 20 });
});
