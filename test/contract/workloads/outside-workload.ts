// Contract of WorkloadGroups: a process that is in no registry, with a sidecar beside it, as on a virtual machine.

import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { join } from 'node:path';
import { type AppProcess, startApp } from '../../harness/app-process.js';
import type { ControlPlaneProcesses } from '../../harness/control-plane-processes.js';
import { meshBootstrap } from '../../interop/mesh-bootstrap.js';

export interface OutsideWorkload {
  readonly name: string;
  readonly address: string;
  readonly serviceAccount: string;
  /** More of the node's metadata. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Starts the sidecar of a workload, with a certificate for its service account. */
export async function startSidecar(
  plane: ControlPlaneProcesses,
  directory: string,
  { name, address, serviceAccount, metadata = {} }: OutsideWorkload,
): Promise<AppProcess> {
  const stateDir = join(directory, name);
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const node = { podName: name, namespace: 'default', workloadName: name, serviceAccount, labels: {}, address };
  const bootstrap = meshBootstrap({
    node: { ...node, gateway: false },
    pilotPort: plane.pilotPort,
    apiType: 'DELTA_GRPC',
  }) as { node: { metadata: Record<string, unknown> } };
  Object.assign(bootstrap.node.metadata, metadata);
  const file = join(stateDir, 'bootstrap.json');
  writeFileSync(file, JSON.stringify(bootstrap));
  return startApp('sidecar', [
    ...['--config-path', file, '--state-dir', stateDir, '--drain-time', '1s', '--log-level', 'warn'],
    ...(await plane.certificateFlags(serviceAccount, 'default')),
  ]);
}

export interface Application {
  readonly server: Server;
  /** What `/health` answers. */
  healthStatus: number;
}

/** An application at 127.0.0.1, which answers `NAME` and its health. */
export async function startApplication(name: string, port: number): Promise<Application> {
  const application = {
    healthStatus: 503,
    server: createServer((asked, answer) => {
      answer.writeHead(asked.url === '/health' ? application.healthStatus : 200);
      answer.end(name);
    }),
  };
  await new Promise<void>((resolve) => application.server.listen(port, '127.0.0.1', resolve));
  return application;
}

/** A request through the forward proxy of a sidecar: the status and the body. */
export function callThrough(proxy: string, url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ host: proxy, port: 15_007, path: url, headers: { host: new URL(url).host }, agent: false });
    call.setTimeout(5_000, () => call.destroy(new Error(`${url} was not answered`)));
    call.once('error', reject);
    call.once('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.once('end', () => resolve(`${response.statusCode} ${body}`));
    });
    call.end();
  });
}
