// gRPC through two sidecars: unary, all streaming forms, large messages, deadlines, cancellation, status.

import {
  type ClientReadableStream,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  httpOptions,
  listener,
  toCluster,
} from '../../testing/envoy-config.js';
import { ACCESS_LOG } from '../../testing/one-cluster.js';
import { requestLog, startProxy } from '../../testing/proxy-fixture.js';
import { eventually } from '../../testing/raw-peers.js';

const bytes = { requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same };
function same(value: Buffer): Buffer {
  return value;
}

const SERVICE = {
  unary: { path: '/t.T/Unary', requestStream: false, responseStream: false, ...bytes },
  upload: { path: '/t.T/Upload', requestStream: true, responseStream: false, ...bytes },
  download: { path: '/t.T/Download', requestStream: false, responseStream: true, ...bytes },
  both: { path: '/t.T/Both', requestStream: true, responseStream: true, ...bytes },
} satisfies ServiceDefinition;
const Client = makeGenericClientConstructor(SERVICE, 'T');
type TestClient = InstanceType<typeof Client>;

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

const HTTP_2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });

async function setUp() {
  const seen = { cancelled: 0 };
  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  const unary: handleUnaryCall<Buffer, Buffer> = (call, done) => {
    call.on('cancelled', () => seen.cancelled++);
    const wish = call.metadata.get('wish')[0];
    if (wish === 'never') return;
    const trailer = new Metadata();
    trailer.set('x-trailer', 'told');
    if (wish === 'fail') done({ code: status.NOT_FOUND, details: 'nothing here: äöü' });
    else done(null, call.request, trailer);
  };
  const upload: handleClientStreamingCall<Buffer, Buffer> = (call, done) => {
    let total = 0;
    call.on('data', (message: Buffer) => {
      total += message.length;
    });
    call.on('end', () => done(null, Buffer.from(String(total))));
  };
  const download: handleServerStreamingCall<Buffer, Buffer> = (call) => {
    call.on('cancelled', () => seen.cancelled++);
    const count = Number(call.request.toString());
    const next = (index: number): void => {
      if (call.cancelled) return;
      if (index === count) call.end();
      else if (call.write(Buffer.alloc(10_000, index & 255))) setImmediate(next, index + 1);
      else call.once('drain', () => next(index + 1));
    };
    next(0);
  };
  const both: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    call.on('data', (message: Buffer) => call.write(Buffer.concat([Buffer.from('re:'), message])));
    call.on('end', () => call.end());
  };
  server.addService(SERVICE, { unary, upload, download, both });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  cleanups.push(() => server.forceShutdown());
  const { requests, options } = requestLog();
  const hop = (to: number, logging = {}) =>
    startProxy(
      dataPlaneConfig(
        [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')), ACCESS_LOG)] }])],
        [cluster('c', [endpointOf(to)], HTTP_2)],
      ),
      logging,
    );
  const inner = await hop(port);
  const outer = await hop(inner.port(), options);
  const client: TestClient = new Client(`127.0.0.1:${outer.port()}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
  });
  cleanups.push(() => client.close());
  return { client, seen, log: requests };
}

function call(client: TestClient, message: Buffer, wish = '', deadlineMs = 30_000) {
  const metadata = new Metadata();
  metadata.set('wish', wish);
  return new Promise<{ reply: Buffer; trailer: Metadata }>((resolve, reject) => {
    let reply: Buffer;
    const made = client.unary!(
      message,
      metadata,
      { deadline: Date.now() + deadlineMs },
      (error: ServiceError | null, value: Buffer) => {
        if (error !== null) reject(error);
        else reply = value;
      },
    );
    made.on('status', (ended: { code: number; metadata: Metadata }) => {
      if (ended.code === status.OK) resolve({ reply, trailer: ended.metadata });
    });
  });
}

describe('gRPC through two sidecars', () => {
  it('calls, with messages of any size and trailers', async () => {
    const { client } = await setUp();
    const { reply, trailer } = await call(client, Buffer.from('hello'));
    expect([reply.toString(), trailer.get('x-trailer')]).toEqual(['hello', ['told']]);
    const large = Buffer.alloc(5_000_000, 'large message');
    expect((await call(client, large)).reply.equals(large)).toBe(true);
    expect((await call(client, Buffer.alloc(0))).reply).toHaveLength(0);
  });

  it('tells how calls ended', async () => {
    const { client, log } = await setUp();
    await expect(call(client, Buffer.from('x'), 'fail')).rejects.toMatchObject({
      code: status.NOT_FOUND,
      details: 'nothing here: äöü',
    });
    await expect(call(client, Buffer.from('x'), 'never', 1_000)).rejects.toMatchObject({
      code: status.DEADLINE_EXCEEDED,
    });
    // The server knows the deadline as well, and may be the first to end the call; what it is told of clients that leave is below.
    await eventually(() => log.length === 2, 'both are logged');
  });

  it('streams up, down and both ways', async () => {
    const { client } = await setUp();
    const total = await new Promise<string>((resolve, reject) => {
      const stream = client.upload!((error: ServiceError | null, value: Buffer) =>
        error === null ? resolve(value.toString()) : reject(error),
      );
      for (let index = 0; index < 200; index++) stream.write(Buffer.alloc(10_000));
      stream.end();
    });
    expect(total).toBe('2000000');
    const received: Buffer[] = [];
    const down = client.download!(Buffer.from('200')) as ClientReadableStream<Buffer>;
    for await (const message of down) received.push(message as Buffer);
    expect(received.map((message) => message[0])).toEqual(Array.from({ length: 200 }, (_, index) => index & 255));
    const stream = client.both!();
    const answers: string[] = [];
    for (const word of ['one', 'two', 'three']) {
      const answer = new Promise<string>((resolve) =>
        stream.once('data', (message: Buffer) => resolve(message.toString())),
      );
      stream.write(Buffer.from(word));
      answers.push(await answer);
    }
    const ended = new Promise((resolve) => stream.once('end', resolve));
    stream.end();
    await ended;
    expect(answers).toEqual(['re:one', 're:two', 're:three']);
  });

  it('takes no more than a slow reader does, and ends with a client that cancels', async () => {
    const { client, seen, log } = await setUp();
    const down = client.download!(Buffer.from('1000000')) as ClientReadableStream<Buffer>;
    down.on('error', () => {});
    await new Promise((resolve) => down.once('data', resolve));
    down.pause();
    down.cancel();
    await eventually(() => seen.cancelled === 1, 'the server is told');
    await eventually(() => log.length === 1, 'the call is logged');
    expect(log[0]).toMatchObject({ responseFlags: 'DC' });
    expect(log[0]!.bytesSent).toBeLessThan(100_000_000);
  });
});
