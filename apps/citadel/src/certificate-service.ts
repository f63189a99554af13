// The decision: who asks (an attestor says), for whom, how often, with which key; then the signature and its audit line.

import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { formatSpiffeId, GrpcAccessError, parseSpiffeId, type SpiffeId } from '@lateen/identity';
import { CsrError, readSigningRequest, type SigningRequest } from '@lateen/identity/authority';
import type { Logger } from '@lateen/telemetry';
import {
  type Attestation,
  AttestationError,
  type Attestor,
  AttestorUnavailableError,
  attest,
} from './attest/attestor.js';
import type { AuditLog, IssuedEntry } from './audit-log.js';
import type { Authority } from './authority/authority.js';
import { mayHaveDnsName } from './dns-names.js';
import type { CitadelMetrics } from './metrics.js';
import type { RateLimits } from './rate-limits.js';

/** Lives of workload certificates. */
export interface TtlLimits {
  /** Where the client asks for none. */
  readonly defaultSeconds: number;
  /** A shorter one is made this long, a longer one cut to the other. */
  readonly minSeconds: number;
  readonly maxSeconds: number;
}

export interface CertificateServiceOptions {
  readonly attestors: readonly Attestor[];
  readonly limits: RateLimits;
  readonly authority: Authority;
  readonly trustDomain: string;
  readonly ttl: TtlLimits;
  readonly audit: AuditLog;
  /** Told of each certificate that its client has got for sure, after its line is written. */
  readonly onIssued: (entry: IssuedEntry) => void;
  readonly metrics: CitadelMetrics;
  readonly logger: Logger;
}

export interface CertificateCall {
  /** Values of the `authorization` metadata. */
  readonly authorization: readonly string[];
  /** DER of a client certificate that TLS has verified. */
  readonly clientCertificate: Uint8Array | undefined;
  readonly csrPem: string;
  /** Seconds; 0 means the default. */
  readonly requestedTtlSeconds: number;
  /** Free-form, as the client sent it. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Address of the client, for the audit. */
  readonly peer: string;
}

/** Signs one request and returns the chain, or throws a GrpcAccessError; either way one audit line is written. */
export type CertificateService = (call: CertificateCall) => Promise<string[]>;

/** What is known of a request so far, for its audit line. */
interface Progress {
  readonly requestId: string;
  identity?: SpiffeId;
  pod?: string | undefined;
  podUid?: string | undefined;
}

/** In the request's metadata: the ids of the roots that the client trusts now. */
const KNOWN_ROOTS = 'LATEEN_TRUST_ROOTS';
/** In the request's metadata: for whom a node's proxy asks in Istio's ambient mode. */
const IMPERSONATED = 'ImpersonatedIdentity';
const MAX_KNOWN_ROOTS = 16;
/** Half of the time for which clients wait. */
const PROMPT_MS = 5_000;

export function createCertificateService(options: CertificateServiceOptions): CertificateService {
  const { audit, metrics, logger } = options;
  return async (call) => {
    metrics.requests.inc();
    const progress: Progress = { requestId: randomUUID() };
    try {
      return await sign(options, call, progress);
    } catch (error) {
      const refusal = error instanceof GrpcAccessError ? error : internalError(error as Error, logger);
      const code = status[refusal.code];
      const entry = { ...progress, identity: progress.identity, reason: refusal.details, code, peer: call.peer };
      await audit.write({ event: 'refused', ...entry, pod: progress.pod, podUid: progress.podUid });
      logger.warn(entry, 'certificate refused');
      throw refusal;
    }
  };
}

async function sign(options: CertificateServiceOptions, call: CertificateCall, progress: Progress): Promise<string[]> {
  const { limits, authority, ttl, trustDomain, audit, metrics, logger } = options;
  const startMs = performance.now();
  const { podName, podUid, attestor, renews, ...account } = await authenticate(options, call);
  const spiffeId = formatSpiffeId({ trustDomain, ...account });
  progress.identity = spiffeId;
  progress.pod = podName;
  progress.podUid = podUid;

  const limited = limits.take(spiffeId);
  if (limited !== 'ok') {
    metrics.rateLimited.inc({ scope: limited });
    const whose = limited === 'identity' ? `of ${spiffeId}` : 'of the authority';
    throw new GrpcAccessError(status.RESOURCE_EXHAUSTED, `the certificate rate limit ${whose} is reached; try later`);
  }
  const request = await acceptCsr(call.csrPem, metrics);
  refuseOtherNames(spiffeId, request, call.metadata);
  const { dnsNames } = request;
  const { issuer, chainPem, rootIds } = authority.current;
  const issued = await issuer.issue({
    publicKey: request.publicKey,
    spiffeId,
    dnsNames,
    ttlSeconds: allowedTtl(call.requestedTtlSeconds, ttl),
  });
  const entry: IssuedEntry = {
    event: 'issued',
    requestId: progress.requestId,
    identity: spiffeId,
    serial: issued.serial,
    notBefore: issued.notBefore.toISOString(),
    notAfter: issued.notAfter.toISOString(),
    peer: call.peer,
    pod: podName,
    podUid,
    renews,
    attestor,
    root: rootIds[0] as string,
    knownRoots: knownRootsOf(call.metadata),
    dnsNames: dnsNames.length === 0 ? undefined : dnsNames,
  };
  await audit.write(entry);
  // After so long the client may have given up, and use what it had.
  if (performance.now() - startMs < PROMPT_MS) options.onIssued(entry);
  metrics.issued.inc();
  logger.info(entry, 'certificate issued');
  return [issued.certPem, ...chainPem];
}

async function authenticate(
  { attestors, metrics }: CertificateServiceOptions,
  call: CertificateCall,
): Promise<Attestation> {
  try {
    return await attest(attestors, call);
  } catch (error) {
    if (error instanceof AttestorUnavailableError) throw new GrpcAccessError(status.UNAVAILABLE, error.message);
    if (!(error instanceof AttestationError)) throw error;
    metrics.authenticationFailures.inc();
    throw new GrpcAccessError(status.UNAUTHENTICATED, error.message);
  }
}

async function acceptCsr(csrPem: string, metrics: CitadelMetrics): Promise<SigningRequest> {
  try {
    return await readSigningRequest(csrPem);
  } catch (error) {
    if (!(error instanceof CsrError)) throw error;
    metrics.csrErrors.inc();
    throw new GrpcAccessError(status.INVALID_ARGUMENT, error.message);
  }
}

/** The identity comes from the attestor alone; a request that names another one is an attempt to be somebody else. */
function refuseOtherNames(
  spiffeId: SpiffeId,
  { names, dnsNames }: SigningRequest,
  metadata: Readonly<Record<string, unknown>>,
): void {
  const impersonated = metadata[IMPERSONATED];
  const asked = [...names, ...(impersonated === undefined ? [] : [String(impersonated)])];
  const other =
    asked.find((name) => name !== spiffeId) ?? dnsNames.find((name) => !mayHaveDnsName(parseSpiffeId(spiffeId), name));
  if (other === undefined) return;
  const text = JSON.stringify(other.slice(0, 200));
  throw new GrpcAccessError(status.PERMISSION_DENIED, `${spiffeId} may not ask for a certificate of ${text}`);
}

/** What a client says about itself; it counts only for when a rotation of the root goes on, within its grace time. */
function knownRootsOf(metadata: Readonly<Record<string, unknown>>): readonly string[] | undefined {
  const roots = metadata[KNOWN_ROOTS];
  if (!Array.isArray(roots)) return undefined;
  return roots
    .filter((id): id is string => typeof id === 'string' && /^[0-9a-f]{16}$/.test(id))
    .slice(0, MAX_KNOWN_ROOTS);
}

function allowedTtl(requestedSeconds: number, { defaultSeconds, minSeconds, maxSeconds }: TtlLimits): number {
  if (requestedSeconds < 0) throw new GrpcAccessError(status.INVALID_ARGUMENT, 'validity_duration is negative');
  return Math.min(Math.max(requestedSeconds === 0 ? defaultSeconds : requestedSeconds, minSeconds), maxSeconds);
}

function internalError(error: Error, logger: Logger): GrpcAccessError {
  logger.error({ error }, 'signing failed');
  return new GrpcAccessError(status.INTERNAL, "signing failed; see the authority's log");
}
