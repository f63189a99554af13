// Cluster: the log level of a pod's proxy. Calls that change something need a token which only the proxy's container has:
// so the call is made there, by exec, and the token does not leave the pod.

import { PassThrough } from 'node:stream';
import type { KubeConfig, V1Status } from '@kubernetes/client-node';
import { CliError, UnreachableError } from '../output/cli-error.js';

const CONTAINER = 'istio-proxy';
const TIME_LIMIT_MS = 15_000;

/** Runs in the container, by its own Node. The path is its argument. */
const SCRIPT = `
const { readFileSync } = require('node:fs');
const { request } = require('node:http');
const token = readFileSync('/var/run/lateen/admin-token', 'utf8').trim();
const options = { host: '127.0.0.1', port: 15000, path: process.argv[1], method: 'POST', headers: { authorization: 'Bearer ' + token } };
const sent = request(options, (answer) => {
  answer.pipe(answer.statusCode === 200 ? process.stdout : process.stderr);
  answer.on('end', () => { process.exitCode = answer.statusCode === 200 ? 0 : 1; });
});
sent.on('error', (error) => { process.stderr.write(error.message); process.exitCode = 1; });
sent.end();
`;

/** What is run in the container. @param path for example `/logging?level=debug` */
export function loggingCommand(path: string): readonly string[] {
  return ['node', '-e', SCRIPT, path];
}

/** POSTs to the admin API of a proxy from within its own container; what that answers. */
export async function loggingInCluster(
  kubeConfig: KubeConfig,
  { name, namespace }: { readonly name: string; readonly namespace: string },
  path: string,
): Promise<string> {
  const place = `the proxy of ${name}.${namespace}`;
  // Loaded when it is needed: the WebSocket client is large.
  const { Exec } = await import('@kubernetes/client-node/dist/exec.js');
  const [out, errors] = [collected(), collected()];
  let close = () => {};
  let timer: NodeJS.Timeout | undefined;
  try {
    const status = await new Promise<V1Status>((resolve, reject) => {
      const fail = (error: unknown) => reject(execFailure(place, error));
      timer = setTimeout(() => fail(new Error(`no answer within ${TIME_LIMIT_MS / 1000} s`)), TIME_LIMIT_MS);
      new Exec(kubeConfig)
        .exec(namespace, name, CONTAINER, [...loggingCommand(path)], out.stream, errors.stream, null, false, resolve)
        .then((webSocket) => {
          close = () => webSocket.close();
          webSocket.addEventListener('close', () => fail(new Error('the connection ended without an answer')));
        }, fail);
    });
    if (status.status === 'Success') return out.text();
    throw new CliError(`${place} refuses ${path}: ${errors.text().trim() || status.message}`);
  } finally {
    clearTimeout(timer);
    close();
  }
}

function collected(): { readonly stream: PassThrough; text(): string } {
  const chunks: Buffer[] = [];
  const stream = new PassThrough().on('data', (chunk: Buffer) => chunks.push(chunk));
  return { stream, text: () => Buffer.concat(chunks).toString('utf8') };
}

/** What the API server said when it ran nothing, in words. */
export function execFailure(place: string, error: unknown): UnreachableError {
  // The WebSocket library tells of a failed opening by an event that holds the error.
  const { message = String(error) } = error as { message?: string };
  if (/Unexpected server response: 403/.test(message)) {
    return new UnreachableError(
      `${place}: you may not run programs there (the permission \`create\` of \`pods/exec\`), which its log level needs: ` +
        'the token for it does not leave the pod',
    );
  }
  return new UnreachableError(`${place}: ${message}`);
}
