// Mesh: a call to a component's admin API, over mutual TLS with the administrator's certificate.

import { mtlsFetch } from '@lateen/identity/plain';
import { CliError } from '../output/cli-error.js';
import { adminAgent, authorityOf, type ControlPlane, connectionFailure } from './control-plane.js';

/** One request. */
export interface ComponentCall {
  readonly component: 'citadel' | 'pilot';
  readonly method: 'GET' | 'POST';
  /** For example `/debug/syncz`. */
  readonly path: string;
  readonly timeoutMs: number;
}

/** What the component answers, from JSON. @throws CliError with its reason where it refuses; where it cannot be reached */
export async function callComponent<T>(controlPlane: ControlPlane, call: ComponentCall): Promise<T> {
  const { component, method, path, timeoutMs } = call;
  const authority = authorityOf(controlPlane.endpoint(component));
  const agent = adminAgent(controlPlane, component);
  try {
    const options = { method, timeoutMs };
    const response = await mtlsFetch(agent)(`https://${authority}${path}`, options).catch((error: Error) => {
      throw connectionFailure(controlPlane, component, error);
    });
    const text = await response.text();
    if (!response.ok) {
      throw new CliError(`${component} at ${authority}: ${reasonOf(text) ?? `${path}: ${response.status}`}`);
    }
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
