// Mesh: Pilot's debug API.

import { callComponent } from './component-call.js';
import type { ControlPlane } from './control-plane.js';

const CALL_TIMEOUT_MS = 10_000;

/** GETs a debug page of Pilot as JSON. @param path for example `/debug/syncz` */
export function pilotDebug<T>(controlPlane: ControlPlane, path: string, timeoutMs = CALL_TIMEOUT_MS): Promise<T> {
  return callComponent(controlPlane, { component: 'pilot', method: 'GET', path, timeoutMs });
}
