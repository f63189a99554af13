// The door: gRPC over TLS on port 8060, istio.v1.auth.IstioCertificateService and lateen.audit.v1.AuditCheckpoints.

import { create } from '@bufbuild/protobuf';
import {
  Server,
  type ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { grpcService } from '@lateen/xds-proto';
import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
  IstioCertificateService,
} from '@lateen/xds-proto/istio/v1/auth/ca_pb.js';
import {
  AuditCheckpoints,
  type CheckpointRequest,
  type CheckpointResponse,
  CheckpointResponseSchema,
} from '@lateen/xds-proto/lateen/audit/v1/checkpoint_pb.js';
import type { CertificateService } from './certificate-service.js';
import type { CheckpointService } from './checkpoints/checkpoint-service.js';

export interface GrpcServerOptions {
  readonly service: CertificateService;
  readonly checkpoints: Pick<CheckpointService, 'sign'>;
  readonly address: string;
  readonly port: number;
  readonly credentials: ServerCredentials;
}

// A signing request is at most a few kilobytes.
const MAX_REQUEST_BYTES = 64 * 1024;
const STOP_TIMEOUT_MS = 3_000;

/** Starts the server. Rejects when the port is taken. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<{ port: number; stop(): Promise<void> }> {
  const server = new Server({
    'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
    'grpc.max_concurrent_streams': 100,
    'grpc.max_connection_idle_ms': 60_000,
    // Client certificates are verified at the handshake; what was trusted then need not be trusted any more.
    'grpc.max_connection_age_ms': 60_000,
  });
  // The table has the shape of a ServiceDefinition; its message types are those of protobuf in general.
  server.addService(grpcService(IstioCertificateService) as unknown as ServiceDefinition, {
    createCertificate: (
      call: ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
      callback: sendUnaryData<IstioCertificateResponse>,
    ) => {
      options
        .service({
          authorization: call.metadata.get('authorization').map(String),
          clientCertificate: call.getAuthContext().sslPeerCertificate?.raw,
          csrPem: call.request.csr,
          requestedTtlSeconds: Number(call.request.validityDuration),
          metadata: call.request.metadata ?? {},
          peer: call.getPeer(),
        })
        .then(
          (certChain) => callback(null, create(IstioCertificateResponseSchema, { certChain })),
          (error) => callback(error),
        );
    },
  });
  server.addService(grpcService(AuditCheckpoints) as unknown as ServiceDefinition, {
    signCheckpoint: (
      call: ServerUnaryCall<CheckpointRequest, CheckpointResponse>,
      callback: sendUnaryData<CheckpointResponse>,
    ) => {
      const { chain, seq, hash, records, dropped, node, file } = call.request;
      options.checkpoints
        .sign({
          clientCertificate: call.getAuthContext().sslPeerCertificate?.raw,
          ...{ chain, hash, node, file },
          ...{ seq: Number(seq), records: Number(records), dropped: Number(dropped) },
        })
        .then(
          (jws) => callback(null, create(CheckpointResponseSchema, { jws })),
          (error) => callback(error),
        );
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(hostPort(options.address, options.port), options.credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, stop: () => stop(server) };
}

function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, STOP_TIMEOUT_MS);
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
}
