// Mesh: Pilot's debug API, over mutual TLS with the administrator's certificate.

import { mtlsFetch } from '@lateen/identity/plain';
import { CliError } from '../output/cli-error.js';
import { adminAgent, authorityOf, type ControlPlane, connectionFailure } from './control-plane.js';

const CALL_TIMEOUT_MS = 10_000;

/** GETs a debug page of Pilot as JSON. @param path for example `/debug/syncz` */
export async function pilotDebug<T>(controlPlane: ControlPlane, path: string, timeoutMs = CALL_TIMEOUT_MS): Promise<T> {
  const authority = authorityOf(controlPlane.endpoint('pilot'));
  const agent = adminAgent(controlPlane, 'pilot');
  try {
    const response = await mtlsFetch(agent)(`https://${authority}${path}`, { timeoutMs }).catch((error: Error) => {
      throw connectionFailure(controlPlane, 'pilot', error);
    });
    const text = await response.text();
    if (!response.ok) throw new CliError(`pilot at ${authority}: ${errorOf(text) ?? `${path}: ${response.status}`}`);
    return JSON.parse(text) as T;
  } finally {
    agent.destroy();
  }
}

/** What a page that refuses says: `{"error": TEXT}`. */
function errorOf(text: string): string | undefined {
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    return typeof error === 'string' ? error : undefined;
  } catch {
    return text.trim() || undefined;
  }
}
