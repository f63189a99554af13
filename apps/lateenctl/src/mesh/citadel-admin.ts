// Mesh: Citadel's admin API.

import type { PublishedCheckpoints } from '@lateen/identity/checkpoints';
import type { AuthorityStatus } from '@lateen/telemetry';
import { callComponent } from './component-call.js';
import type { ControlPlane } from './control-plane.js';

const CALL_TIMEOUT_MS = 30_000;

/** How the authority stands. */
export function authorityStatus(controlPlane: ControlPlane): Promise<AuthorityStatus> {
  return call(controlPlane, 'GET', '/ca/status');
}

/** Begins a rotation of the root. @throws CliError where Citadel refuses */
export function rotateRoot(controlPlane: ControlPlane, graceSeconds: number): Promise<AuthorityStatus> {
  return call(controlPlane, 'POST', `/ca/rotate-root?graceSeconds=${graceSeconds}`);
}

/** The keys that sign checkpoints of audit logs, and the last one of each chain. */
export function publishedCheckpoints(controlPlane: ControlPlane): Promise<PublishedCheckpoints> {
  return call(controlPlane, 'GET', '/audit/checkpoints');
}

function call<T>(controlPlane: ControlPlane, method: 'GET' | 'POST', path: string): Promise<T> {
  return callComponent(controlPlane, { component: 'citadel', method, path, timeoutMs: CALL_TIMEOUT_MS });
}
