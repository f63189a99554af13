// Interop tests: one file of examples/standalone under both proxies, with a backend for each endpoint that it names.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../harness/free-port.js';
import type { Backend } from './echo-backend.js';
import { type Json, objectsIn, type RunningProxy, readBootstrap, socketAddress, startProxy } from './proxy-pair.js';

const EXAMPLES = fileURLToPath(new URL('../../examples/standalone/', import.meta.url));

export interface ExampleUnderBoth {
  readonly envoy: RunningProxy;
  readonly lateen: RunningProxy;
  /** Requests or connections that reached any backend so far. */
  hits(): number;
  stop(): Promise<void>;
}

/** Starts them. A cluster named `dead` has nothing behind it; an endpoint of any other has a backend of the cluster's name. */
export async function runExampleUnderBoth(
  example: string,
  envoyPath: string,
  startBackend: (name: string) => Promise<Backend>,
): Promise<ExampleUnderBoth> {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-interop-'));
  const stops: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const each of stops.reverse()) await each();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    // The files name certificates relative to where they are started.
    const certificates = join(directory, 'examples', 'standalone', 'certificates');
    execFileSync(process.execPath, [join(EXAMPLES, 'make-certificates.mjs'), certificates]);
    const bootstrap = readBootstrap(join(EXAMPLES, example));
    const backends: Backend[] = [];
    const ports = new Map<number, number>();
    for (const cluster of (bootstrap.static_resources as { clusters: Json[] }).clusters) {
      for (const endpoint of objectsIn(cluster)) {
        const port = socketAddress(endpoint)?.port_value as number | undefined;
        if (port === undefined) continue;
        if (cluster.name === 'dead') {
          ports.set(port, await freePort());
          continue;
        }
        const backend = await startBackend(cluster.name as string);
        stops.push(() => backend.stop());
        backends.push(backend);
        ports.set(port, backend.port);
      }
    }
    const options = { envoyPath, bootstrap, directory, backendPort: (port: number) => ports.get(port) ?? Number.NaN };
    const envoy = await startProxy({ ...options, name: 'envoy' });
    stops.push(() => envoy.stop());
    const lateen = await startProxy({ ...options, name: 'lateen' });
    stops.push(() => lateen.stop());
    return { envoy, lateen, hits: () => backends.reduce((sum, backend) => sum + backend.hits(), 0), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
