// Interop tests: one bootstrap file run by stock Envoy and by the Lateen sidecar, on ports of their own, before the same backends.

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { freePort } from '../harness/free-port.js';
import { httpGet } from '../harness/http-get.js';
import { waitUntil } from '../harness/wait-until.js';

export type Json = { [name: string]: unknown };
export type ProxyName = 'envoy' | 'lateen';

const SIDECAR = fileURLToPath(new URL('../../bin/lateen-sidecar', import.meta.url));

/** What is written of each exchange, to compare response flags and details. */
const LOG_FORMAT = '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER%\n';

export interface RunningProxy {
  readonly name: ProxyName;
  /** The port of a listener, by its name. */
  portOf(listener: string): number;
  readonly adminPort: number;
  logLines(): string[];
  output(): string;
  stop(): Promise<void>;
}

export interface StartOptions {
  readonly name: ProxyName;
  readonly envoyPath: string;
  readonly bootstrap: Json;
  readonly directory: string;
  /** Port of a backend, by the port that the file names. */
  readonly backendPort: (port: number) => number;
}

/** Every object below `value`, itself included. */
export function* objectsIn(value: unknown): Generator<Json> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value as Json;
  for (const each of Object.values(value)) yield* objectsIn(each);
}

export const socketAddress = (holder: Json): Json | undefined =>
  (holder.address as { socket_address?: Json } | undefined)?.socket_address;

/** Listens on free ports, leads to the given backends, and logs each exchange. Returns the ports of the listeners. */
async function adapt(bootstrap: Json, { backendPort, directory, name }: StartOptions): Promise<Map<string, number>> {
  const resources = bootstrap.static_resources as { listeners: Json[]; clusters: Json[] };
  for (const endpoint of objectsIn(resources.clusters)) {
    const address = socketAddress(endpoint);
    if (address !== undefined) address.port_value = backendPort(address.port_value as number);
  }
  const ports = new Map<string, number>();
  for (const listener of resources.listeners) {
    const port = await freePort();
    (socketAddress(listener) as Json).port_value = port;
    ports.set(listener.name as string, port);
  }
  for (const config of objectsIn(resources.listeners)) {
    if (!String(config['@type']).endsWith('.HttpConnectionManager')) continue;
    config.access_log = [
      {
        name: 'interop',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
          path: join(directory, `${name}.log`),
          log_format: { text_format_source: { inline_string: LOG_FORMAT } },
        },
      },
    ];
  }
  return ports;
}

function commandOf(name: ProxyName, envoyPath: string, path: string): string[] {
  if (name === 'lateen') return [SIDECAR, '--config-path', path, '--log-level', 'warn', '--drain-time', '1s'];
  const flags = [
    '--concurrency',
    '1',
    '--disable-hot-restart',
    '--log-level',
    'warn',
    '--file-flush-interval-msec',
    '50',
  ];
  return [envoyPath, '-c', path, ...flags];
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await ended;
  clearTimeout(timer);
}

/** Starts one of the two with the adapted bootstrap; resolves once it is ready. */
export async function startProxy(options: StartOptions): Promise<RunningProxy> {
  const { name, directory, envoyPath } = options;
  const bootstrap = structuredClone(options.bootstrap);
  const ports = await adapt(bootstrap, options);
  const adminPort = await freePort();
  (socketAddress(bootstrap.admin as Json) as Json).port_value = adminPort;
  const path = join(directory, `${name}.yaml`);
  writeFileSync(path, JSON.stringify(bootstrap)); // also YAML, and the same to parsers of YAML 1.1 and 1.2

  writeFileSync(join(directory, `${name}.log`), '');
  const [command = '', ...args] = commandOf(name, envoyPath, path);
  const child = spawn(command, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  try {
    await waitUntil(`${name} to be ready`, () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
      return httpGet(`http://127.0.0.1:${adminPort}/ready`).then(({ status }) => status === 200);
    });
  } catch (error) {
    await stopChild(child);
    throw new Error(`${(error as Error).message}; it wrote: ${output}`);
  }
  return {
    name,
    adminPort,
    portOf(listener) {
      const port = ports.get(listener);
      if (port === undefined) throw new Error(`no listener ${listener}; there are ${[...ports.keys()].join(', ')}`);
      return port;
    },
    logLines: () =>
      readFileSync(join(directory, `${name}.log`), 'utf8')
        .split('\n')
        .filter((line) => line !== ''),
    output: () => output,
    stop: () => stopChild(child),
  };
}

/** Reads a bootstrap file. */
export function readBootstrap(path: string): Json {
  return parse(readFileSync(path, 'utf8')) as Json;
}
