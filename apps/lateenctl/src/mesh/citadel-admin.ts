// Mesh: Citadel's admin API.

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

function call(controlPlane: ControlPlane, method: 'GET' | 'POST', path: string): Promise<AuthorityStatus> {
  return callComponent(controlPlane, { component: 'citadel', method, path, timeoutMs: CALL_TIMEOUT_MS });
}
