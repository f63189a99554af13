// Issuance, client side: one CreateCertificate call to Citadel over TLS, with the server's identity checked.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, Metadata, status } from '@grpc/grpc-js';
import {
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from '@lateen/xds-proto/istio/v1/auth/ca_pb.js';
import type { SpiffeId } from '../spiffe-id.js';
import { grpcServerOnlyCredentials } from '../tls/grpc-credentials.js';
import type { WorkloadIdentity } from '../workload-identity.js';

export interface CertificateCall {
  /** HOST:PORT of the authority. */
  readonly address: string;
  /** Bearer token; undefined where the client certificate says who asks. */
  readonly token?: string | undefined;
  /** The certificate to renew, and its key. */
  readonly client?: Pick<WorkloadIdentity, 'keyPem' | 'certChainPem'> | undefined;
  /** Ids of the roots that this client trusts, by which Citadel knows that it follows a rotation. */
  readonly knownRoots?: readonly string[] | undefined;
  readonly rootsPem: string;
  /** Who the server must be. */
  readonly serverSpiffeId: SpiffeId;
  readonly csrPem: string;
  /** 0 leaves it to the authority. */
  readonly validitySeconds: number;
  readonly signal?: AbortSignal;
}

/** The authority did not take the proof of identity, or could not check it (then it was there, or it was away). */
export class NotAuthenticatedError extends Error {}

const METHOD = '/istio.v1.auth.IstioCertificateService/CreateCertificate';
const TIMEOUT_MS = 10_000;

/** Asks for a certificate and returns the chain as PEM blocks, the leaf first. @throws Error naming the authority */
export async function requestCertificate(call: CertificateCall): Promise<string[]> {
  const credentials = grpcServerOnlyCredentials(
    { rootsPem: call.rootsPem, client: call.client },
    { expectedSpiffeIds: [call.serverSpiffeId] },
  );
  // Each request is one short connection; a channel kept open would only idle for half a day.
  const client = new Client(call.address, credentials, {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
  });
  try {
    const response = await createCertificate(client, call);
    if (response.certChain.length === 0) throw new Error('the answer has no certificate');
    return response.certChain.map((pem) => (pem.endsWith('\n') ? pem : `${pem}\n`));
  } catch (error) {
    const message = `certificate request to ${call.address} failed: ${(error as Error).message}`;
    const code = (error as { code?: unknown }).code;
    const refused = code === status.UNAUTHENTICATED || code === status.UNAVAILABLE;
    throw refused ? new NotAuthenticatedError(message, { cause: error }) : new Error(message, { cause: error });
  } finally {
    client.close();
  }
}

function createCertificate(client: Client, call: CertificateCall): Promise<IstioCertificateResponse> {
  const metadata = new Metadata();
  if (call.token !== undefined) metadata.set('authorization', `Bearer ${call.token}`);
  const request = create(IstioCertificateRequestSchema, {
    csr: call.csrPem,
    validityDuration: BigInt(Math.floor(call.validitySeconds)),
    ...(call.knownRoots === undefined ? {} : { metadata: { LATEEN_TRUST_ROOTS: [...call.knownRoots] } }),
  });
  return new Promise((resolve, reject) => {
    const running = client.makeUnaryRequest(
      METHOD,
      (message: typeof request) => Buffer.from(toBinary(IstioCertificateRequestSchema, message)),
      (bytes: Buffer) => fromBinary(IstioCertificateResponseSchema, bytes),
      request,
      metadata,
      { deadline: Date.now() + TIMEOUT_MS },
      (error, response) => {
        call.signal?.removeEventListener('abort', abort);
        if (error !== null) reject(error);
        else resolve(response as IstioCertificateResponse);
      },
    );
    const abort = () => running.cancel();
    if (call.signal?.aborted) abort();
    else call.signal?.addEventListener('abort', abort, { once: true });
  });
}
