// Mesh: the control plane that a command talks to, on this machine or elsewhere: addresses, and who is who.

import {
  formatSpiffeId,
  MtlsAgent,
  parseSpiffeId,
  type StaticIdentity,
  type WorkloadIdentity,
} from '@lateen/identity/plain';
import { type CliError, UnreachableError } from '../output/cli-error.js';

/** The services with an admin API that the command line uses. */
export const ADMIN_SERVICES = ['galley', 'pilot', 'citadel'] as const;
export type AdminService = (typeof ADMIN_SERVICES)[number];

export interface AdminEndpoint {
  readonly address: string;
  readonly port: number;
}

export interface ControlPlane {
  /** @throws UsageError where the command line names no address of it */
  endpoint(service: AdminService): AdminEndpoint;
  /** Who the command line is. @throws CliError where the certificate cannot be used */
  identity(): StaticIdentity;
  /** What people can do where a service does not answer. */
  advice(service: AdminService): string;
}

const SYSTEM_NAMESPACE = 'istio-system';

/** `HOST:PORT`; IPv6 addresses in brackets. */
export function authorityOf({ address, port }: AdminEndpoint): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}

/** A connection to an admin API, over mutual TLS: only the service itself, of our own trust domain, is talked to. */
export function adminAgent(controlPlane: ControlPlane, service: AdminService): MtlsAgent {
  const source = controlPlane.identity();
  requireValidNow(source.current);
  const { trustDomain } = parseSpiffeId(source.current.spiffeId);
  const expected = formatSpiffeId({ trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount: service });
  return new MtlsAgent({ source, expectedSpiffeIds: [expected] });
}

/** An expired certificate makes the other side hang up without a word, so it is said here. */
function requireValidNow({ spiffeId, notBefore, notAfter }: WorkloadIdentity): void {
  const nowMs = Date.now();
  if (nowMs > notAfter.getTime()) {
    throw new UnreachableError(
      `the client certificate of ${spiffeId} expired at ${notAfter.toISOString()}; get a new one (in local mode the ` +
        'supervisor renews it: see `lateenctl local status`)',
    );
  }
  if (nowMs < notBefore.getTime()) {
    throw new UnreachableError(
      `the client certificate of ${spiffeId} is valid from ${notBefore.toISOString()} on; is the clock of this machine right?`,
    );
  }
}

/** What went wrong between us and an admin API, in words that say what to do. */
export function connectionFailure(controlPlane: ControlPlane, service: AdminService, reason: Error): CliError {
  const place = `${service} at ${authorityOf(controlPlane.endpoint(service))}`;
  return new UnreachableError(`${place} ${explain(reason, service, controlPlane)}`);
}

function explain(reason: Error, service: AdminService, controlPlane: ControlPlane): string {
  const message = readable(reason.message);
  const code = codeOf(reason);
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return `has a certificate that is not valid now (${message}); it has to be renewed there`;
  }
  if (code.startsWith('SELF_SIGNED_CERT') || code.startsWith('UNABLE_TO_') || code === 'CERT_SIGNATURE_FAILURE') {
    return `has a certificate that our trust roots did not sign (${message}); is it the mesh that the roots are of?`;
  }
  const stranger = /the peer is (spiffe:\S+), which is not admitted/.exec(message)?.[1];
  if (stranger !== undefined) {
    return `is not ${service}: its certificate is of ${stranger}; check the address`;
  }
  if (/wrong version number|packet length too long|no application protocol/.test(message)) {
    return `does not serve an admin API (${message}); that is at port 15016`;
  }
  if (
    code === 'ECONNRESET' ||
    code === 'EPIPE' ||
    code.startsWith('ERR_SSL') ||
    /socket hang up|EPIPE|alert/.test(message)
  ) {
    const own = controlPlane.identity().current.spiffeId;
    return `closed the connection (${message}); it may not admit ${own}, or does not know our roots. Admin APIs take who has a role there`;
  }
  return `does not answer (${message}); ${controlPlane.advice(service)}`;
}

/** OpenSSL's own words out of `80EC…:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/…`. */
function readable(message: string): string {
  return /:SSL routines:[^:]*:([^:]+):/.exec(message)?.[1] ?? message.trim();
}

/** Codes are on the error or on what caused it. */
function codeOf(error: Error): string {
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    const { code } = each as { code?: unknown };
    if (typeof code === 'string') return code;
  }
  return '';
}
