// End-to-end: gRPC in local mode: gRPC's own interop cases through two sidecars with mutual TLS, on a port named grpc and on
// one that says nothing, and what the sidecars tell of them.

import { createRequire } from 'node:module';
import grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitUntil } from '../harness/wait-until.js';
import { LocalMesh, type PodSeen } from './local-mesh.js';

const TIME_LIMIT_MS = 120_000;
const LIBRARY = createRequire(import.meta.url).resolve('@grpc/grpc-js');

/** Messages are JSON. As the interop server: echoes metadata, answers what is asked for, sleeps where it is told. */
const SERVER = `
import { createRequire } from 'node:module';
const grpc = createRequire(import.meta.url)(${JSON.stringify(LIBRARY)});
const json = { serialize: (value) => Buffer.from(JSON.stringify(value)), deserialize: (bytes) => JSON.parse(bytes) };
const method = (name, requestStream, responseStream) => ({
  path: '/lateen.test.Calls/' + name, requestStream, responseStream,
  requestSerialize: json.serialize, requestDeserialize: json.deserialize,
  responseSerialize: json.serialize, responseDeserialize: json.deserialize,
});
let cancelled = 0;
const server = new grpc.Server();
server.addService(
  {
    unary: method('Unary', false, false), collect: method('Collect', true, false),
    list: method('List', false, true), chat: method('Chat', true, true),
  },
  {
    unary(call, done) {
      const { request, metadata } = call;
      call.on('cancelled', () => cancelled++);
      if (request.sleepMs) return setTimeout(() => done(null, {}), request.sleepMs);
      const initial = new grpc.Metadata();
      for (const value of metadata.get('x-echo')) initial.add('x-echo', value);
      call.sendMetadata(initial);
      const trailers = new grpc.Metadata();
      for (const value of metadata.get('x-echo-bin')) trailers.add('x-echo-bin', value);
      if (request.status) return done({ code: request.status, details: request.message, metadata: trailers });
      const told = { timeout: metadata.get('grpc-timeout'), cancelled, deadline: call.getDeadline() };
      done(null, { size: request.payload?.length ?? 0, payload: 'x'.repeat(request.answerSize ?? 0), told }, trailers);
    },
    collect(call, done) {
      let size = 0;
      call.on('data', ({ payload }) => (size += payload.length));
      call.on('end', () => done(null, { size }));
    },
    list(call) {
      call.on('cancelled', () => cancelled++);
      for (const size of call.request.sizes) call.write({ payload: 'x'.repeat(size) });
      if (!call.request.open) call.end();
    },
    chat(call) {
      call.on('cancelled', () => cancelled++);
      call.on('data', ({ size }) => call.write({ payload: 'x'.repeat(size) }));
      call.on('end', () => call.end());
    },
  },
);
server.bindAsync(process.env.HOST + ':' + process.env.PORT, grpc.ServerCredentials.createInsecure(), () => {});
`;

const DOCUMENTS = `apiVersion: v1
kind: Service
metadata: {name: calls}
spec:
  selector: {app: calls}
  ports: [{port: 50051, name: grpc, targetPort: 9000}]
---
apiVersion: v1
kind: Service
metadata: {name: unnamed}
spec:
  selector: {app: unnamed}
  ports: [{port: 50052, targetPort: 9001}]
${['calls:9000', 'unnamed:9001']
  .map((app) => app.split(':'))
  .map(
    ([name, port]) => `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  replicas: 1
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata:
      labels: {app: ${name}, version: v1}
      annotations: {lateen.io/local-command: '["node", "calls.mjs"]'}
    spec:
      containers: [{name: ${name}, image: "${name}:1", ports: [{containerPort: ${port}}]}]
`,
  )
  .join('')}---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: calls}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: calls}
spec:
  hosts: [calls]
  http:
  - match: [{headers: {x-fail: {exact: "1"}}}]
    fault: {abort: {percentage: {value: 100}, httpStatus: 403}}
    route: [{destination: {host: calls}}]
  - route: [{destination: {host: calls}}]
`;

interface Answer {
  readonly size?: number;
  readonly payload?: string;
  readonly told?: { readonly cancelled: number; readonly deadline: number };
}
const serialize = (value: object): Buffer => Buffer.from(JSON.stringify(value));
const deserialize = (bytes: Buffer): Answer => JSON.parse(bytes.toString()) as Answer;
const path = (name: string): string => `/lateen.test.Calls/${name}`;
const CALLED = [
  'istio_requests_total',
  'reporter="source"',
  'destination_service="calls.default.svc.cluster.local"',
  'request_protocol="grpc"',
] as const;
const scrape = async (pod: PodSeen): Promise<string> =>
  (await fetch(`http://${pod.address}:15090/stats/prometheus`)).text();
const sum = (text: string, name: string, ...parts: readonly string[]): number =>
  text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) && parts.every((part) => line.includes(part)))
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0);

describe('local mode: gRPC', { timeout: TIME_LIMIT_MS }, () => {
  const mesh = new LocalMesh();
  const clients: grpc.Client[] = [];
  let caller: PodSeen;
  /** Calls that clients of the service "calls" have begun. */
  let begun = 0;

  function client(service: string, port: number, options: grpc.ChannelOptions = {}): grpc.Client {
    const address = caller.serviceAddresses[`${service}.default.svc.cluster.local`];
    const made = new grpc.Client(`${address}:${port}`, grpc.credentials.createInsecure(), {
      'grpc.default_authority': `${service}:${port}`,
      interceptors: [
        (
          callOptions: grpc.InterceptorOptions,
          nextCall: (options: grpc.InterceptorOptions) => grpc.InterceptingCall,
        ) => {
          if (service === 'calls') begun++;
          return new grpc.InterceptingCall(nextCall(callOptions));
        },
      ],
      ...options,
    } as grpc.ClientOptions);
    clients.push(made);
    return made;
  }
  interface Outcome {
    readonly answer: Answer | undefined;
    readonly code: number;
    readonly details: string;
    readonly initial: grpc.Metadata;
    readonly trailers: grpc.Metadata;
  }
  function unary(
    to: grpc.Client,
    request: object,
    metadata = new grpc.Metadata(),
    options: grpc.CallOptions = {},
    name = 'Unary',
  ): Promise<Outcome> {
    return new Promise((resolve) => {
      let initial = new grpc.Metadata();
      let answer: Answer | undefined;
      const call = to.makeUnaryRequest(
        path(name),
        serialize,
        deserialize,
        request,
        metadata,
        options,
        (_error, value) => {
          answer = value;
        },
      );
      call.on('metadata', (received) => (initial = received));
      call.on('status', ({ code, details, metadata: trailers }) => {
        setImmediate(() => resolve({ answer, code, details, initial, trailers }));
      });
    });
  }

  beforeAll(async () => {
    mesh.write('calls.mjs', SERVER);
    mesh.write('calls.yaml', DOCUMENTS);
    await mesh.up('-f', 'echo.yaml', '-f', 'calls.yaml');
    caller = (await mesh.pods())[0]!;
    for (const [service, port] of [
      ['calls', 50_051],
      ['unnamed', 50_052],
    ] as const) {
      const to = client(service, port);
      await waitUntil(
        `${service} to answer`,
        async () => (await unary(to, {}, undefined, { deadline: Date.now() + 2000 })).code === 0,
      );
    }
    // Of calls before the first that succeeded, nobody knows whether they reached the sidecar.
    begun = await waitUntil('the caller to have counted its first call', async () => {
      const now = await scrape(caller);
      return sum(now, ...CALLED, 'grpc_response_status="0"') > 0 && sum(now, ...CALLED);
    });
  }, TIME_LIMIT_MS);
  afterAll(async () => {
    for (const each of clients) each.close();
    await mesh.remove();
  }, TIME_LIMIT_MS);

  const services = [
    ['a port named grpc', 'calls', 50_051],
    ['a port that says nothing', 'unnamed', 50_052],
  ] as const;
  describe.each(services)('on %s', (_name, service, port) => {
    it('carries empty and large messages', async () => {
      const to = client(service, port);
      expect(await unary(to, {})).toMatchObject({ code: 0, answer: { size: 0 } });
      const large = await unary(to, { payload: 'x'.repeat(271_828), answerSize: 314_159 });
      expect(large.answer?.size).toBe(271_828);
      expect(large.answer?.payload).toHaveLength(314_159);
    });

    it('carries streams of the client, of the server and of both', async () => {
      const to = client(service, port);
      const collected = await new Promise<Answer | undefined>((resolve, reject) => {
        const call = to.makeClientStreamRequest(path('Collect'), serialize, deserialize, (error, answer) =>
          error ? reject(error) : resolve(answer),
        );
        for (const size of [27_182, 8, 1828, 45_904]) call.write({ payload: 'x'.repeat(size) });
        call.end();
      });
      expect(collected?.size).toBe(74_922);
      const list = to.makeServerStreamRequest(path('List'), serialize, deserialize, {
        sizes: [31_415, 9, 2653, 58_979],
      });
      const sizes: number[] = [];
      for await (const { payload } of list as AsyncIterable<Answer>) sizes.push(payload!.length);
      expect(sizes).toEqual([31_415, 9, 2653, 58_979]);
      // Each message waits for the answer to the one before it.
      const chat = to.makeBidiStreamRequest<object, Answer>(path('Chat'), serialize, deserialize);
      const answers = (chat as AsyncIterable<Answer>)[Symbol.asyncIterator]();
      for (const size of [31_415, 9, 2653, 58_979]) {
        chat.write({ size });
        expect((await answers.next()).value.payload).toHaveLength(size);
      }
      chat.end();
      expect((await answers.next()).done).toBe(true);
      const empty = to.makeBidiStreamRequest<object, Answer>(path('Chat'), serialize, deserialize);
      empty.end();
      expect((await (empty as AsyncIterable<Answer>)[Symbol.asyncIterator]().next()).done).toBe(true);
    });

    it('carries compressed messages as they are', async () => {
      const to = client(service, port, { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip });
      const large = await unary(to, { payload: 'x'.repeat(271_828), answerSize: 314_159 });
      expect(large).toMatchObject({ code: 0, answer: { size: 271_828 } });
      expect(large.answer?.payload).toHaveLength(314_159);
    });

    it('carries statuses, their messages and metadata of both ends', async () => {
      const to = client(service, port);
      const metadata = new grpc.Metadata();
      metadata.add('x-echo', 'test_initial_metadata_value');
      metadata.add('x-echo-bin', Buffer.from([0xab, 0xab, 0xab]));
      const good = await unary(to, {}, metadata);
      expect(good.initial.get('x-echo')).toEqual(['test_initial_metadata_value']);
      expect(good.trailers.get('x-echo-bin')).toEqual([Buffer.from([0xab, 0xab, 0xab])]);
      const message = '\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \ud83d\ude08\t\n';
      expect(await unary(to, { status: 2, message })).toMatchObject({ code: 2, details: message });
      expect(await unary(to, {}, undefined, {}, 'Missing')).toMatchObject({ code: grpc.status.UNIMPLEMENTED });
    });

    it('carries cancellation to the server, and ends what takes too long', async () => {
      const to = client(service, port);
      const cancelledBefore = (await unary(to, {})).answer!.told!.cancelled;
      const chat = to.makeBidiStreamRequest<object, Answer>(path('Chat'), serialize, deserialize);
      const status = new Promise<grpc.StatusObject>((resolve) => chat.once('status', resolve));
      chat.on('error', () => {});
      chat.once('data', () => chat.cancel());
      chat.write({ size: 31_415 });
      expect((await status).code).toBe(grpc.status.CANCELLED);
      await waitUntil('the server to see the cancellation', async () => {
        return (await unary(to, {})).answer!.told!.cancelled > cancelledBefore;
      });
      const late = await unary(to, { sleepMs: 10_000 }, undefined, { deadline: Date.now() + 300 });
      // The sidecars know the deadline as well; one whose clock is ahead answers as Envoy does.
      expect([grpc.status.DEADLINE_EXCEEDED, grpc.status.UNAVAILABLE]).toContain(late.code);
      if (late.code === grpc.status.UNAVAILABLE) expect(late.details).toBe('upstream request timeout');
    });

    it('carries many calls at once on one connection', async () => {
      const to = client(service, port);
      const outcomes = await Promise.all(
        Array.from({ length: 200 }, (_, index) =>
          unary(to, { payload: 'x'.repeat(index * 50), answerSize: index * 100 }),
        ),
      );
      expect(outcomes.map(({ answer }) => answer?.payload?.length)).toEqual(outcomes.map((_, index) => index * 100));
    });
  });

  it('is answered in its own form where a sidecar answers', async () => {
    const metadata = new grpc.Metadata();
    metadata.add('x-fail', '1');
    const refused = await unary(client('calls', 50_051), {}, metadata);
    expect(refused).toMatchObject({ code: grpc.status.PERMISSION_DENIED, details: 'fault filter abort' });
  });

  it('is counted by both sidecars, with status and messages', async () => {
    const [server] = await mesh.pods('calls');
    const of = 'destination_service="calls.default.svc.cluster.local"';
    let ended = 0;
    for (const [pod, reporter] of [
      [caller, 'source'],
      [server!, 'destination'],
    ] as const) {
      const parts = [`reporter="${reporter}"`, of, 'request_protocol="grpc"'];
      const count = (text: string, status: string) =>
        sum(text, 'istio_requests_total', ...parts, `grpc_response_status="${status}"`);
      // One of two calls of status 2 was cancelled by its client. The library ends its side before it resets the stream, so that
      // the call may have ended well before a sidecar or the server hears of that: then it counts there as one of status 0.
      const text = await waitUntil(`${reporter} to have counted the calls`, async () => {
        const now = await scrape(pod);
        if (reporter === 'source') return sum(now, 'istio_requests_total', ...parts) === begun && now;
        return count(now, '0') + count(now, '2') === ended && now;
      });
      ended = count(text, '0') + count(text, '2');
      expect(count(text, '0')).toBeGreaterThan(200);
      expect([1, 2]).toContain(count(text, '2'));
      expect(sum(text, 'istio_requests_total', ...parts, 'grpc_response_status="12"')).toBe(1);
      // Unary calls have one message each way; the streams of the client and of the server have four in one call, and one has none.
      const requests = sum(text, 'istio_requests_total', ...parts, 'grpc_response_status="0"');
      const sent = sum(text, 'istio_request_messages_total', ...parts, 'grpc_response_status="0"');
      const received = sum(text, 'istio_response_messages_total', ...parts, 'grpc_response_status="0"');
      expect([sent - requests, received - requests]).toEqual([5, 5]);
      expect(sum(text, 'istio_requests_total', 'connection_security_policy="none"', of)).toBe(0);
    }
  });
});
