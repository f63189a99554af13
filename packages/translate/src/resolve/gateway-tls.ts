// Resolve: how a gateway's server treats TLS, and whether it has what it needs for that.

import type { Server, ServerTlsSettings } from '@lateen/istio-config';
import { isHttpProtocol, protocolFromName } from '@lateen/istio-config';
import { type Credentials, ROOTS_SUFFIX } from './credentials.js';

/**
 * What becomes of a server's connections: requests are routed (`http`); bytes go where the rules for TCP say (`tcp`), or
 * by the server name of TLS that is not terminated (`sni`), or to the service that a sidecar's server name tells
 * (`auto-sni`).
 */
export type ServerKind = 'http' | 'tcp' | 'sni' | 'auto-sni';

/** TLS that is terminated, with the names of its Secrets. */
export interface TerminatedTls {
  readonly settings: ServerTlsSettings;
  /** Secrets with the server's certificates; empty where they are in files, or the workload's own. */
  readonly credentials: readonly string[];
  /** Secret with the roots that clients are checked with; undefined where they are in a file, or no client is asked. */
  readonly rootsCredential: string | undefined;
}

/** What a server does, by its protocol and TLS mode; undefined for a protocol that gateways do not know. */
export function serverKind({ port, tls }: Server): ServerKind | undefined {
  const protocol = protocolFromName(port.protocol ?? 'HTTP');
  if (protocol === undefined || protocol === 'udp') return undefined;
  if (isHttpProtocol(protocol)) return 'http';
  if (protocol !== 'https' && protocol !== 'tls') return 'tcp';
  if (tls?.mode === 'AUTO_PASSTHROUGH') return 'auto-sni';
  if (tls?.mode === undefined || tls.mode === 'PASSTHROUGH') return 'sni';
  return protocol === 'https' ? 'http' : 'tcp';
}

/** Whether a server's port takes TLS, be it terminated here or not: such servers share a port by server name. */
export function takesTls({ port }: Server): boolean {
  const protocol = protocolFromName(port.protocol ?? 'HTTP');
  return protocol === 'https' || protocol === 'tls';
}

function rootsCredentialOf(settings: ServerTlsSettings, credentials: readonly string[]): string | undefined {
  if (settings.mode !== 'MUTUAL' && settings.mode !== 'OPTIONAL_MUTUAL') return undefined;
  if (settings.caCertCredentialName) return settings.caCertCredentialName;
  return credentials[0] === undefined ? undefined : `${credentials[0]}${ROOTS_SUFFIX}`;
}

/** The TLS that a server terminates; undefined where it does not. */
export function terminatedTls(server: Server): TerminatedTls | undefined {
  const { tls } = server;
  if (tls === undefined || !takesTls(server)) return undefined;
  if (tls.mode === undefined || tls.mode === 'PASSTHROUGH' || tls.mode === 'AUTO_PASSTHROUGH') return undefined;
  const credentials =
    tls.mode === 'ISTIO_MUTUAL' ? [] : (tls.credentialNames ?? (tls.credentialName ? [tls.credentialName] : []));
  return { settings: tls, credentials, rootsCredential: rootsCredentialOf(tls, credentials) };
}

/** Why a server cannot be served: what is wrong with its Secrets. Undefined where nothing is. */
export function faultOfCredentials(
  { credentials, rootsCredential }: TerminatedTls,
  served: Credentials,
): string | undefined {
  for (const name of credentials) {
    const found = served.certificate(name);
    if ('fault' in found) return found.fault;
  }
  const roots = rootsCredential === undefined ? undefined : served.roots(rootsCredential);
  return roots !== undefined && 'fault' in roots ? roots.fault : undefined;
}
