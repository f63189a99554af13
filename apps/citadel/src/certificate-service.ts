// The decision: who asks (the token says), how often, with which key; then the signature and its audit line.

import type { KeyObject } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { formatSpiffeId, GrpcAccessError, type SpiffeId } from '@lateen/identity';
import { type CertificateIssuer, CsrError, readCsr } from '@lateen/identity/authority';
import { type ServiceAccountIdentity, TokenError, verifyServiceAccountToken } from '@lateen/identity/tokens';
import type { Logger } from '@lateen/telemetry';
import type { AuditLog } from './audit-log.js';
import type { CitadelMetrics } from './metrics.js';
import type { RateLimits } from './rate-limits.js';
import { type TokenKeys, TokenKeysUnavailableError } from './token-keys.js';

export interface CertificateServiceOptions {
  readonly tokenKeys: TokenKeys;
  readonly tokenAudience: string;
  readonly tokenIssuer: string;
  readonly limits: RateLimits;
  readonly issuer: CertificateIssuer;
  readonly rootCertPem: string;
  readonly trustDomain: string;
  readonly maxTtlSeconds: number;
  readonly audit: AuditLog;
  readonly metrics: CitadelMetrics;
  readonly logger: Logger;
}

export interface CertificateCall {
  /** Values of the `authorization` metadata. */
  readonly authorization: readonly string[];
  readonly csrPem: string;
  /** Seconds; 0 means the longest that is allowed. */
  readonly requestedTtlSeconds: number;
  /** Address of the client, for the audit. */
  readonly peer: string;
}

/** Signs one request and returns the chain, or throws a GrpcAccessError; either way one audit line is written. */
export type CertificateService = (call: CertificateCall) => Promise<string[]>;

/** What is known of a request so far, for its audit line. */
interface Progress {
  identity?: SpiffeId;
  pod?: string;
}

export function createCertificateService(options: CertificateServiceOptions): CertificateService {
  const { audit, metrics, logger } = options;
  return async (call) => {
    metrics.requests.inc();
    const progress: Progress = {};
    try {
      return await sign(options, call, progress);
    } catch (error) {
      const refusal = error instanceof GrpcAccessError ? error : internalError(error as Error, logger);
      const { identity, pod } = progress;
      const code = status[refusal.code];
      await audit.write({ event: 'refused', identity, reason: refusal.details, code, peer: call.peer, pod });
      logger.warn({ identity, pod, peer: call.peer, code, reason: refusal.details }, 'certificate refused');
      throw refusal;
    }
  };
}

async function sign(options: CertificateServiceOptions, call: CertificateCall, progress: Progress): Promise<string[]> {
  const { limits, issuer, maxTtlSeconds, trustDomain, audit, metrics, logger, rootCertPem } = options;
  const account = await authenticate(options, call.authorization);
  // The identity comes from the token alone; names in the signing request are not even read.
  const spiffeId = formatSpiffeId({ trustDomain, ...account });
  progress.identity = spiffeId;
  progress.pod = account.podName;

  const limited = limits.take(spiffeId);
  if (limited !== 'ok') {
    metrics.rateLimited.inc({ scope: limited });
    const whose = limited === 'identity' ? `of ${spiffeId}` : 'of the authority';
    throw new GrpcAccessError(status.RESOURCE_EXHAUSTED, `the certificate rate limit ${whose} is reached; try later`);
  }
  const publicKey = await acceptCsr(call.csrPem, metrics);
  const issued = await issuer.issue({
    publicKey,
    spiffeId,
    ttlSeconds: allowedTtl(call.requestedTtlSeconds, maxTtlSeconds),
  });
  const entry = {
    identity: spiffeId,
    serial: issued.serial,
    notBefore: issued.notBefore.toISOString(),
    notAfter: issued.notAfter.toISOString(),
    peer: call.peer,
    pod: account.podName,
  };
  await audit.write({ event: 'issued', ...entry });
  metrics.issued.inc();
  logger.info(entry, 'certificate issued');
  return [issued.certPem, rootCertPem];
}

async function authenticate(
  { tokenKeys, tokenAudience, tokenIssuer, metrics }: CertificateServiceOptions,
  authorization: readonly string[],
): Promise<ServiceAccountIdentity> {
  try {
    const bearer = authorization.length === 1 ? /^Bearer +(\S+)$/i.exec(authorization[0] as string) : null;
    if (bearer === null) throw new TokenError('malformed', 'exactly one "authorization: Bearer TOKEN" is required');
    const keys = await tokenKeys.current();
    return await verifyServiceAccountToken(bearer[1] as string, { keys, audience: tokenAudience, issuer: tokenIssuer });
  } catch (error) {
    if (error instanceof TokenKeysUnavailableError) throw new GrpcAccessError(status.UNAVAILABLE, error.message);
    if (!(error instanceof TokenError)) throw error;
    metrics.authenticationFailures.inc();
    throw new GrpcAccessError(status.UNAUTHENTICATED, error.message);
  }
}

async function acceptCsr(csrPem: string, metrics: CitadelMetrics): Promise<KeyObject> {
  try {
    return await readCsr(csrPem);
  } catch (error) {
    if (!(error instanceof CsrError)) throw error;
    metrics.csrErrors.inc();
    throw new GrpcAccessError(status.INVALID_ARGUMENT, error.message);
  }
}

function allowedTtl(requestedSeconds: number, maxSeconds: number): number {
  if (requestedSeconds < 0) throw new GrpcAccessError(status.INVALID_ARGUMENT, 'validity_duration is negative');
  return requestedSeconds === 0 ? maxSeconds : Math.min(requestedSeconds, maxSeconds);
}

function internalError(error: Error, logger: Logger): GrpcAccessError {
  logger.error({ error }, 'signing failed');
  return new GrpcAccessError(status.INTERNAL, "signing failed; see the authority's log");
}
