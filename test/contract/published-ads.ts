// A discovery server made of the published proto files at run time: it shares no generated code with the client under test.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { loadPackageDefinition, Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** A message as the proto loader gives it: proto field names, defaults filled in. */
export type PlainMessage = Readonly<Record<string, unknown>>;

/** One stream that a client opened. */
export interface PublishedStream {
  readonly form: 'sotw' | 'delta';
  readonly requests: PlainMessage[];
  send(response: PlainMessage): void;
  end(): void;
}

export interface PublishedServer {
  readonly port: number;
  readonly streams: PublishedStream[];
  stop(): void;
}

interface Call {
  on(event: 'data', listener: (message: PlainMessage) => void): void;
  on(event: 'end' | 'error', listener: () => void): void;
  write(message: PlainMessage): void;
  end(): void;
}

const PUBLISHED = join(dirname(createRequire(import.meta.url).resolve('@grpc/grpc-js-xds/package.json')), 'deps');

export async function startPublishedServer(): Promise<PublishedServer> {
  const definition = loadSync('envoy/service/discovery/v3/ads.proto', {
    includeDirs: ['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map((part) => join(PUBLISHED, part)),
    keepCase: true,
    longs: String,
    defaults: true,
    oneofs: true,
  });
  const types = loadPackageDefinition(definition) as unknown as {
    envoy: { service: { discovery: { v3: { AggregatedDiscoveryService: { service: ServiceDefinition } } } } };
  };
  const streams: PublishedStream[] = [];
  const accept = (form: 'sotw' | 'delta') => (call: Call) => {
    const requests: PlainMessage[] = [];
    streams.push({ form, requests, send: (response) => call.write(response), end: () => call.end() });
    call.on('data', (message) => requests.push(message));
    call.on('end', () => call.end());
    // A client that leaves ends its stream with an error here.
    call.on('error', () => undefined);
  };
  const server = new Server();
  server.addService(types.envoy.service.discovery.v3.AggregatedDiscoveryService.service, {
    StreamAggregatedResources: accept('sotw'),
    DeltaAggregatedResources: accept('delta'),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, streams, stop: () => server.forceShutdown() };
}
