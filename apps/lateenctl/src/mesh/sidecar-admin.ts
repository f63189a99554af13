// Mesh: the admin API of a pod's sidecar, at its own loopback address.

import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { CliError, UnreachableError } from '../output/cli-error.js';
import type { StateLayout } from '../state/state-layout.js';
import type { KnownPod } from './known-pods.js';

export type AdminPod = Pick<KnownPod, 'name' | 'namespace' | 'address'> & {
  /** Where its admin API is, in place of the pod's own address: in a cluster, a port-forward. */
  readonly admin?: { readonly address: string; readonly port: number; readonly failure: () => string | undefined };
};

const ADMIN_PORT = 15000;
const TIMEOUT_MS = 10_000;

/** GETs a page of the sidecar's admin API as JSON. @throws UnreachableError where the sidecar does not answer */
export async function sidecarAdminJson<T>(pod: AdminPod, path: string): Promise<T> {
  return JSON.parse(await call(pod, 'GET', path, {})) as T;
}

/** GETs a page of the sidecar's admin API as text. @throws UnreachableError where the sidecar does not answer */
export function sidecarAdminText(pod: AdminPod, path: string): Promise<string> {
  return call(pod, 'GET', path, {});
}

/** POSTs to a page that changes something, with the token that the sidecar left for this user. */
export function sidecarAdminPost(layout: StateLayout, pod: AdminPod, path: string): Promise<string> {
  const file = join(layout.pod(pod.namespace, pod.name), 'sidecar', 'admin-token');
  let token: string;
  try {
    token = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new CliError(`cannot read the admin token of the sidecar, ${file}: ${(error as Error).message}`);
  }
  return call(pod, 'POST', path, { authorization: `Bearer ${token}` });
}

function call(pod: AdminPod, method: string, path: string, headers: Record<string, string>): Promise<string> {
  const { address, port } = pod.admin ?? { address: pod.address, port: ADMIN_PORT };
  const logs =
    pod.admin === undefined
      ? `lateenctl local logs ${pod.namespace}/${pod.name}/sidecar`
      : `kubectl logs -n ${pod.namespace} ${pod.name} -c istio-proxy`;
  return new Promise((resolve, reject) => {
    const fail = (reason: string) =>
      reject(
        new UnreachableError(
          `the sidecar of ${pod.name}.${pod.namespace} does not answer at ${address}:${port} (${pod.admin?.failure() ?? reason}); see \`${logs}\``,
        ),
      );
    const options = { host: address, port, path, method, headers, agent: false };
    const sent = request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', (error) => fail(error.message));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        if (response.statusCode === 200) resolve(text);
        else if (response.statusCode === 400) reject(new CliError(`the sidecar refuses ${path}: ${text.trim()}`));
        else fail(`${path} answered ${response.statusCode}: ${text.trim()}`);
      });
    });
    sent.setTimeout(TIMEOUT_MS, () => sent.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    sent.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    sent.end();
  });
}
