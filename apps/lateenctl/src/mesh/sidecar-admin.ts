// Mesh: the admin API of a pod's sidecar, at its own loopback address.

import { get } from 'node:http';
import type { PodStatus } from '../control/control-api.js';
import { findPods, unknownPodMessage } from '../control/pod-name.js';
import { CliError, UnreachableError } from '../output/cli-error.js';

const ADMIN_PORT = 15000;
const TIMEOUT_MS = 10_000;

/** The one pod that the user means; of a deployment's pods the first. @throws CliError listing what there is */
export function requirePod(pods: readonly PodStatus[], text: string, namespace: string | undefined): PodStatus {
  const [pod] = findPods(pods, text, namespace);
  if (pod === undefined) throw new CliError(unknownPodMessage(pods, text, namespace));
  return pod;
}

/** GETs a page of the sidecar's admin API. @throws UnreachableError where the sidecar does not answer */
export function sidecarAdmin(pod: PodStatus, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string) =>
      reject(
        new UnreachableError(
          `the sidecar of ${pod.name}.${pod.namespace} does not answer at ${pod.address}:${ADMIN_PORT} (${reason}); ` +
            `see \`lateenctl local logs ${pod.namespace}/${pod.name}/sidecar\``,
        ),
      );
    const call = get({ host: pod.address, port: ADMIN_PORT, path, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', (error) => fail(error.message));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        if (response.statusCode === 200) resolve(text);
        else fail(`${path} answered ${response.statusCode}: ${text.trim()}`);
      });
    });
    call.setTimeout(TIMEOUT_MS, () => call.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    call.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
  });
}

/** As `sidecarAdmin`, read as JSON. */
export async function sidecarAdminJson<T>(pod: PodStatus, path: string): Promise<T> {
  return JSON.parse(await sidecarAdmin(pod, path)) as T;
}
