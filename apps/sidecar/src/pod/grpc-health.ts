// Pod mode: asks gRPC's health service over a connection of our own making, which gRPC's client cannot be given.

import { connect } from 'node:http2';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '@lateen/xds-proto/grpc/health/v1/health_pb.js';
import { dialApplication } from './dial-application.js';

/** A byte that says whether the message is compressed, then its length. */
const PREFIX_BYTES = 5;

/** Undefined where the service says that it serves, else what is wrong. */
export function askGrpcHealth(
  { host, port, service }: { readonly host: string; readonly port: number; readonly service: string },
  timeoutMs: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const authority = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    const session = connect(`http://${authority}`, { createConnection: () => dialApplication({ host, port }) });
    const finish = (fault: string | undefined): void => {
      clearTimeout(timer);
      session.destroy();
      resolve(fault);
    };
    const timer = setTimeout(() => finish(`gRPC was not answered within ${timeoutMs} ms`), timeoutMs);
    session.on('error', (error) => finish(error.message));
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': `${timeoutMs}m`,
    });
    const message = toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service }));
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(message.length, 1);
    const chunks: Buffer[] = [];
    let status: string | undefined;
    stream.on('response', (headers) => {
      status = String(headers['grpc-status'] ?? '') || undefined;
    });
    stream.on('trailers', (trailers) => {
      status = String(trailers['grpc-status'] ?? '');
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', (error) => finish(error.message));
    stream.on('end', () => finish(judge(Buffer.concat(chunks), status, service)));
    stream.end(Buffer.concat([prefix, message]));
  });
}

function judge(answer: Buffer, status: string | undefined, service: string): string | undefined {
  if (status !== undefined && status !== '0') return `gRPC status ${status}`;
  try {
    const { status: said } = fromBinary(HealthCheckResponseSchema, answer.subarray(PREFIX_BYTES));
    return said === ServingStatus.SERVING ? undefined : `the gRPC service "${service}" is ${ServingStatus[said]}`;
  } catch (error) {
    return `the answer of gRPC cannot be read: ${(error as Error).message}`;
  }
}
