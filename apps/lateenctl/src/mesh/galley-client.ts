// Mesh: Galley's administration API, over mutual TLS with the administrator's certificate.

import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { formatSpiffeId, MtlsAgent } from '@lateen/identity';
import type { Problem } from '@lateen/istio-config';
import { ConfigAdmin, type Problem as WireProblem } from '@lateen/xds-proto/lateen/admin/v1/config_admin_pb.js';
import { CliError, UnreachableError } from '../output/cli-error.js';
import { adminIdentity, type Mesh } from './open-mesh.js';

const CALL_TIMEOUT_MS = 15_000;

export type GalleyClient = Client<typeof ConfigAdmin>;

/** A client of Galley. Close its agent when done, or the process stays. */
export function connectGalley(mesh: Mesh): { client: GalleyClient; close: () => void } {
  const galley = formatSpiffeId({ trustDomain: mesh.trustDomain, namespace: 'istio-system', serviceAccount: 'galley' });
  const agent = new MtlsAgent({ source: adminIdentity(mesh), expectedSpiffeIds: [galley] });
  const transport = createConnectTransport({
    baseUrl: `https://${mesh.galley.address}:${mesh.galley.adminPort}`,
    httpVersion: '1.1',
    nodeOptions: { agent },
    defaultTimeoutMs: CALL_TIMEOUT_MS,
  });
  return { client: createClient(ConfigAdmin, transport), close: () => agent.destroy() };
}

/** Calls Galley and closes the connection. @throws CliError with a text that says what to do */
export async function withGalley<T>(mesh: Mesh, use: (client: GalleyClient) => Promise<T>): Promise<T> {
  const { client, close } = connectGalley(mesh);
  try {
    return await use(client);
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const place = `galley at ${mesh.galley.address}:${mesh.galley.adminPort}`;
    if (error.code === Code.Unavailable || error.code === Code.DeadlineExceeded || error.code === Code.Aborted) {
      throw new UnreachableError(
        `${place} does not answer (${error.rawMessage}); see \`lateenctl local status\` and \`lateenctl local logs galley\``,
      );
    }
    throw new CliError(`${place}: ${error.rawMessage}`);
  } finally {
    close();
  }
}

/** A problem as Galley reports it. */
export function problemFromWire(problem: WireProblem): Problem {
  const { file, line, column, kind, namespace, name, path, code, message } = problem;
  const severity = problem.severity === 'warning' ? 'warning' : 'error';
  return { file, line, column, kind, namespace, name, path, severity, code, message };
}
