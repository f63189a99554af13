// For tests of whoever needs a certificate: a certificate service on a free port that certifies everybody as one workload.

import { create } from '@bufbuild/protobuf';
import { Server, type ServiceDefinition } from '@grpc/grpc-js';
import { grpcService } from '@lateen/xds-proto';
import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
  IstioCertificateService,
} from '@lateen/xds-proto/istio/v1/auth/ca_pb.js';
import { createCertificateIssuer, readCsr } from './authority/index.js';
import { formatSpiffeId } from './spiffe-id.js';
import type { TestAuthority } from './test-authority.js';
import { grpcServerCredentials } from './tls/grpc-credentials.js';

export interface TestCitadelOptions {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly ttlSeconds: number;
  /** 0, which is the default, picks a free port. */
  readonly port?: number;
}

export interface TestCitadel {
  readonly port: number;
  stop(): void;
}

/** Takes any token. The certificates are of the authority's root. */
export async function startTestCitadel(authority: TestAuthority, options: TestCitadelOptions): Promise<TestCitadel> {
  const { ttlSeconds, port: wanted = 0, ...account } = options;
  const issuer = await createCertificateIssuer(authority.root);
  const spiffeId = formatSpiffeId({ trustDomain: authority.trustDomain, ...account });
  const server = new Server();
  server.addService(grpcService(IstioCertificateService) as ServiceDefinition, {
    createCertificate: async (
      call: { request: IstioCertificateRequest },
      answer: (error: Error | null, response?: IstioCertificateResponse) => void,
    ) => {
      try {
        const publicKey = await readCsr(call.request.csr);
        const { certPem } = await issuer.issue({ publicKey, spiffeId, ttlSeconds });
        answer(null, create(IstioCertificateResponseSchema, { certChain: [certPem, authority.rootsPem] }));
      } catch (error) {
        answer(error as Error);
      }
    },
  });
  const own = await authority.source({ namespace: 'istio-system', serviceAccount: 'citadel' });
  const credentials = grpcServerCredentials(own, { requireClientCertificate: false });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${wanted}`, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, stop: () => server.forceShutdown() };
}
