// Contract of proxyless gRPC: a service that says who it is, fails as often as it is told, and takes its time where asked to.

import grpc from '@grpc/grpc-js';

export interface EchoRequest {
  /** Of the calls with this key, the first `failures` end as UNAVAILABLE. */
  readonly key?: string;
  readonly failures?: number;
  readonly sleepMs?: number;
}

export interface EchoAnswer {
  readonly server: string;
  /** How often the key was seen here. */
  readonly calls: number;
}

const serialize = (value: unknown) => Buffer.from(JSON.stringify(value));
const deserialize = (bytes: Buffer) => JSON.parse(bytes.toString()) as never;

/** `unary` and `faulty` are the same method under two names, `list` answers three times. */
export const METHODS = {
  unary: method('/lateen.test.Echo/Unary', false),
  faulty: method('/lateen.test.Echo/Faulty', false),
  moved: method('/lateen.test.Echo/Moved', false),
  list: method('/lateen.test.Echo/List', true),
} satisfies grpc.ServiceDefinition;

function method(path: string, responseStream: boolean): grpc.MethodDefinition<EchoRequest, EchoAnswer> {
  return {
    path,
    requestStream: false,
    responseStream,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  };
}

export interface EchoServer {
  readonly name: string;
  readonly port: number;
  /** Lets calls end, takes no new ones. */
  drain(): Promise<void>;
  stop(): void;
}

/** Listens in plaintext. @param port 0 takes a free one */
export async function startEchoServer(name: string, address: string, port: number): Promise<EchoServer> {
  const seen = new Map<string, number>();
  const unary: grpc.handleUnaryCall<EchoRequest, EchoAnswer> = ({ request }, done) => {
    const { key = '', failures = 0, sleepMs = 0 } = request;
    const calls = (seen.get(key) ?? 0) + 1;
    seen.set(key, calls);
    if (calls <= failures) return done({ code: grpc.status.UNAVAILABLE, details: `failure ${calls}` });
    setTimeout(() => done(null, { server: name, calls }), sleepMs);
  };
  const server = new grpc.Server();
  server.addService(METHODS, {
    unary,
    faulty: unary,
    moved: unary,
    list: (call: grpc.ServerWritableStream<EchoRequest, EchoAnswer>) => {
      for (let calls = 1; calls <= 3; calls++) call.write({ server: name, calls });
      call.end();
    },
  });
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${address}:${port}`, grpc.ServerCredentials.createInsecure(), (error, number) =>
      error === null ? resolve(number) : reject(error),
    );
  });
  return {
    name,
    port: bound,
    drain: () => new Promise((resolve) => server.tryShutdown(() => resolve())),
    stop: () => server.forceShutdown(),
  };
}
