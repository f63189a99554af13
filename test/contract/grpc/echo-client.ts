// Contract of proxyless gRPC: calls of a channel that an application opens to `xds:///HOST:PORT`.

import grpc from '@grpc/grpc-js';
import { type EchoAnswer, type EchoRequest, METHODS } from './echo-server.js';

export interface CallOptions {
  readonly method?: 'unary' | 'faulty' | 'moved';
  readonly headers?: Readonly<Record<string, string>>;
}

export class EchoClient {
  private readonly client: grpc.Client;

  constructor(target: string, credentials: grpc.ChannelCredentials) {
    this.client = new grpc.Client(`xds:///${target}`, credentials);
  }

  call(request: EchoRequest = {}, { method = 'unary', headers = {} }: CallOptions = {}): Promise<EchoAnswer> {
    const { path, requestSerialize, responseDeserialize } = METHODS[method];
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        { deadline: Date.now() + 20_000 },
        (error, answer) => (error === null ? resolve(answer as EchoAnswer) : reject(error)),
      );
    });
  }

  /** The server that answers; `NAME` of a status where none does. */
  async serverOf(options?: CallOptions): Promise<string> {
    return (await this.call({}, options)).server;
  }

  /** The name of the status that the call ends with. */
  async statusOf(request: EchoRequest = {}, options?: CallOptions): Promise<string> {
    try {
      await this.call(request, options);
      return 'OK';
    } catch (error) {
      return grpc.status[(error as grpc.ServiceError).code] ?? String(error);
    }
  }

  /** How many calls each server answered. */
  async shares(count: number, options?: CallOptions): Promise<Record<string, number>> {
    const servers = await Promise.all(Array.from({ length: count }, () => this.serverOf(options)));
    const shares: Record<string, number> = {};
    for (const server of servers) shares[server] = (shares[server] ?? 0) + 1;
    return shares;
  }

  list(): Promise<number> {
    const { path, requestSerialize, responseDeserialize } = METHODS.list;
    const call = this.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
    return new Promise((resolve, reject) => {
      let messages = 0;
      call.on('data', () => messages++);
      call.on('error', reject);
      call.on('end', () => resolve(messages));
    });
  }

  close(): void {
    this.client.close();
  }
}
