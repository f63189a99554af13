// Mesh: Citadel's admin API, over mutual TLS with the administrator's certificate.

import { mtlsFetch } from '@lateen/identity/plain';
import { CliError } from '../output/cli-error.js';
import { adminAgent, authorityOf, type ControlPlane, connectionFailure } from './control-plane.js';

const CALL_TIMEOUT_MS = 30_000;

/** A certificate of the authority, as Citadel describes it. */
export interface AuthorityCertificate {
  readonly id: string;
  readonly subject: string;
  readonly key: string;
  readonly notBefore: string;
  readonly notAfter: string;
}

export interface RootRotation {
  readonly step: 'make' | 'distribute' | 'issue' | 'remove';
  readonly from: string;
  readonly to: string;
  readonly graceSeconds: number;
  readonly requestedBy: string;
  readonly startedAt: string;
  readonly stepSince: string;
}

/** What `/ca/status` answers. */
export interface AuthorityStatus {
  readonly source: 'own root' | 'plugged-in CA';
  readonly encrypted: boolean;
  readonly signing: AuthorityCertificate;
  /** The first is the one that certificates lead to. */
  readonly roots: readonly AuthorityCertificate[];
  readonly problem?: string;
  readonly rotation?: RootRotation;
  readonly waitingFor?: { readonly count: number; readonly names: readonly string[] };
  readonly last?: {
    readonly outcome: 'completed' | 'rolled back';
    readonly from: string;
    readonly to: string;
    readonly startedAt: string;
    readonly endedAt: string;
  };
}

/** How the authority stands. */
export function authorityStatus(controlPlane: ControlPlane): Promise<AuthorityStatus> {
  return call(controlPlane, 'GET', '/ca/status');
}

/** Begins a rotation of the root. @throws CliError where Citadel refuses */
export function rotateRoot(controlPlane: ControlPlane, graceSeconds: number): Promise<AuthorityStatus> {
  return call(controlPlane, 'POST', `/ca/rotate-root?graceSeconds=${graceSeconds}`);
}

async function call<T>(controlPlane: ControlPlane, method: string, path: string): Promise<T> {
  const authority = authorityOf(controlPlane.endpoint('citadel'));
  const agent = adminAgent(controlPlane, 'citadel');
  try {
    const options = { method, timeoutMs: CALL_TIMEOUT_MS };
    const response = await mtlsFetch(agent)(`https://${authority}${path}`, options).catch((error: Error) => {
      throw connectionFailure(controlPlane, 'citadel', error);
    });
    const text = await response.text();
    if (!response.ok) throw new CliError(`citadel at ${authority}: ${reasonOf(text) ?? `${path}: ${response.status}`}`);
    return JSON.parse(text) as T;
  } finally {
    agent.destroy();
  }
}

/** `{"error": TEXT}`, or plain text. */
function reasonOf(text: string): string | undefined {
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    return typeof error === 'string' ? error : undefined;
  } catch {
    return text.trim() || undefined;
  }
}
