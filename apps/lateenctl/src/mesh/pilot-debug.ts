// Mesh: Pilot's debug API, over mutual TLS with the administrator's certificate.

import { formatSpiffeId, MtlsAgent, mtlsFetch } from '@lateen/identity';
import { CliError, UnreachableError } from '../output/cli-error.js';
import { adminIdentity, type Mesh } from './open-mesh.js';

/** GETs a debug page of Pilot as JSON. @param path for example `/debug/syncz` */
export async function pilotDebug<T>(mesh: Mesh, path: string): Promise<T> {
  const pilot = formatSpiffeId({ trustDomain: mesh.trustDomain, namespace: 'istio-system', serviceAccount: 'pilot' });
  const agent = new MtlsAgent({ source: adminIdentity(mesh), expectedSpiffeIds: [pilot] });
  const place = `pilot at ${mesh.pilot.address}:${mesh.pilot.adminPort}`;
  try {
    const url = `https://${mesh.pilot.address}:${mesh.pilot.adminPort}${path}`;
    const response = await mtlsFetch(agent)(url, { timeoutMs: 10_000 }).catch((error: Error) => {
      throw new UnreachableError(
        `${place} does not answer (${error.message}); see \`lateenctl local status\` and \`lateenctl local logs pilot\``,
      );
    });
    const text = await response.text();
    if (!response.ok) throw new CliError(`${place}: ${path} answered ${response.status}: ${text.trim()}`);
    return JSON.parse(text) as T;
  } finally {
    agent.destroy();
  }
}
