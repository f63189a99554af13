// Test cluster: replicas of Citadel as processes, with the service account and the permissions that they have in a cluster.

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parse, stringify } from 'yaml';
import { REPOSITORY } from '../harness/repository.js';
import type { Cluster } from './harness/cluster.js';

const PROGRAM = join(REPOSITORY, 'apps', 'citadel', 'dist', 'main.js');

export interface Citadel {
  readonly child: ChildProcess;
  readonly ports: { readonly grpc: number; readonly admin: number; readonly monitoring: number };
}

export class CitadelReplicas {
  readonly #running = new Map<string, Citadel>();

  constructor(private readonly cluster: Cluster) {}

  /** @throws Error where there is no such replica */
  get(podName: string): Citadel {
    const citadel = this.#running.get(podName);
    if (citadel === undefined) throw new Error(`${podName} was not started`);
    return citadel;
  }

  /** Resolves when it is up. @throws Error with what it wrote where it ends before */
  async start(podName: string, environment: Readonly<Record<string, string>> = {}): Promise<Citadel> {
    const kubeconfig = join(this.cluster.directory, 'citadel.kubeconfig');
    const config = parse(readFileSync(this.cluster.anonymousKubeconfig, 'utf8')) as { users: { user: object }[] };
    const token = (await this.cluster.kubectl(['create', 'token', 'citadel', '-n', 'istio-system'])).trim();
    config.users[0]!.user = { token };
    writeFileSync(kubeconfig, stringify(config), { mode: 0o600 });
    const ports = ['--grpc-port', '0', '--admin-port', '0', '--monitoring-port', '0'];
    const child = spawn(process.execPath, [PROGRAM, ...ports, '--kubeconfig', kubeconfig, '--lease-duration', '3s'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...environment, POD_NAME: podName },
    });
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stderr! })) {
      lines.push(line);
      const entry = JSON.parse(line) as { message: string; ports: Citadel['ports'] };
      if (entry.message !== 'citadel is up') continue;
      child.stderr!.resume();
      const citadel = { child, ports: entry.ports };
      this.#running.set(podName, citadel);
      return citadel;
    }
    throw new Error(`${podName} did not start:\n${lines.join('\n')}`);
  }

  /** Ends those that still run; each gives the Lease back if it has it. */
  async end(): Promise<void> {
    for (const { child } of this.#running.values()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    }
    this.#running.clear();
  }
}
