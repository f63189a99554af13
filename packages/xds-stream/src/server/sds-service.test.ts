// SDS server over real gRPC: one type, which requests need not name, and names that a view hears of.

import { create } from '@bufbuild/protobuf';
import { Client, credentials, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { grpcService, packAny, TYPE_URL } from '@lateen/xds-proto';
import { SecretSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { SecretDiscoveryService } from '@lateen/xds-proto/envoy/service/secret/v3/sds_pb.js';
import { afterEach, expect, test } from 'vitest';
import { createSdsService } from './sds-service.js';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** Serves one secret, `known`, and notes what is asked for. */
async function openStream() {
  const asked: string[][] = [];
  const known = { version: '1', any: packAny(SecretSchema, create(SecretSchema, { name: 'known' })) };
  const service = createSdsService({
    authorize: () => undefined,
    source: {
      open: () => ({
        current: () => ({ version: 'v', resources: new Map([[TYPE_URL.secret, new Map([['known', known]])]]) }),
        onSubscribed: (_typeUrl, names) => asked.push([...names]),
        close: () => undefined,
      }),
    },
  });
  const server = new Server();
  server.addService(service.definition, service.implementation);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  cleanups.push(
    () => server.forceShutdown(),
    () => client.close(),
  );
  const { path, requestSerialize, responseDeserialize } = grpcService(SecretDiscoveryService).streamSecrets!;
  const call = client.makeBidiStreamRequest<DiscoveryRequest, DiscoveryResponse>(
    path,
    requestSerialize as never,
    responseDeserialize as never,
  );
  const ended = new Promise<ServiceError>((resolve) => call.on('error', resolve));
  const next = () => new Promise<DiscoveryResponse>((resolve) => call.once('data', resolve));
  const ask = (fields: { typeUrl?: string; resourceNames?: string[]; responseNonce?: string }) =>
    call.write(create(DiscoveryRequestSchema, fields));
  return { asked, ended, next, ask };
}

test('a request without a type asks for secrets, and what there is not is absent from the answer', async () => {
  const { asked, next, ask } = await openStream();
  ask({ resourceNames: ['known', 'unknown'] });
  const { typeUrl, nonce, resources } = await next();
  expect([typeUrl, resources.length]).toEqual([TYPE_URL.secret, 1]);
  ask({ resourceNames: ['unknown'], responseNonce: nonce });
  ask({ resourceNames: ['unknown', 'other'], responseNonce: nonce });
  expect((await next()).resources).toEqual([]);
  expect(asked).toEqual([['known', 'unknown'], ['unknown'], ['unknown', 'other']]);
});

test('another type is refused by name', async () => {
  const { ended, ask } = await openStream();
  ask({ typeUrl: TYPE_URL.cluster });
  expect(await ended).toMatchObject({
    code: status.INVALID_ARGUMENT,
    details: expect.stringContaining(`not ${TYPE_URL.cluster}`),
  });
});
