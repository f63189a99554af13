// Mesh: Galley's administration API, over mutual TLS with the administrator's certificate.

import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import type { Problem } from '@lateen/istio-config';
import { ConfigAdmin, type Problem as WireProblem } from '@lateen/xds-proto/lateen/admin/v1/config_admin_pb.js';
import { CliError } from '../output/cli-error.js';
import { adminAgent, authorityOf, type ControlPlane, connectionFailure } from './control-plane.js';

const CALL_TIMEOUT_MS = 15_000;

export type GalleyClient = Client<typeof ConfigAdmin>;

/** Calls Galley and closes the connection. @throws CliError with a text that says what to do */
export async function withGalley<T>(
  controlPlane: ControlPlane,
  use: (client: GalleyClient) => Promise<T>,
  timeoutMs = CALL_TIMEOUT_MS,
): Promise<T> {
  const authority = authorityOf(controlPlane.endpoint('galley'));
  const agent = adminAgent(controlPlane, 'galley');
  const transport = createConnectTransport({
    baseUrl: `https://${authority}`,
    httpVersion: '1.1',
    nodeOptions: { agent },
    defaultTimeoutMs: timeoutMs,
  });
  try {
    return await use(createClient(ConfigAdmin, transport));
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    if (error.code === Code.Unavailable || error.code === Code.DeadlineExceeded || error.code === Code.Aborted) {
      throw connectionFailure(controlPlane, 'galley', new Error(error.rawMessage, { cause: error.cause }));
    }
    // What TLS refuses is no answer of Galley's.
    if (error.cause instanceof Error) throw connectionFailure(controlPlane, 'galley', error.cause);
    throw new CliError(`galley at ${authority}: ${error.rawMessage}`);
  } finally {
    agent.destroy();
  }
}

/** A problem as Galley reports it. */
export function problemFromWire(problem: WireProblem): Problem {
  const { file, line, column, kind, namespace, name, path, code, message } = problem;
  const severity = problem.severity === 'warning' ? 'warning' : 'error';
  return { file, line, column, kind, namespace, name, path, severity, code, message };
}
