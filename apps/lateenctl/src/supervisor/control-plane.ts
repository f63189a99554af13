// Supervisor: the three services of the control plane as processes, each with its flags, token and trust root.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '@lateen/telemetry';
import { COMPONENT_NAMES, type ComponentName, type StateLayout } from '../state/state-layout.js';
import type { MeshAddresses } from './mesh-addresses.js';
import { SYSTEM_NAMESPACE } from './pods/gateway-pod.js';
import { DEFAULT_PROBE, type ProbeLoop, startProbeLoop } from './pods/probe.js';
import { ManagedProcess, type StopOptions } from './processes/managed-process.js';
import type { Reaper } from './processes/reaper.js';
import { appProgram } from './programs.js';
import type { TokenFiles } from './token-files.js';
import type { TrustRoots } from './trust-roots.js';

export interface ControlPlaneOptions {
  readonly layout: StateLayout;
  readonly mesh: MeshAddresses;
  readonly trustDomain: string;
  readonly meshConfigFile: string;
  readonly citadelFlags: readonly string[];
  readonly logLevel: string;
  readonly tokens: TokenFiles;
  readonly roots: TrustRoots;
  readonly reaper: Reaper;
  readonly logger: Logger;
  readonly onChange: () => void;
}

export interface Component {
  readonly name: ComponentName;
  readonly process: ManagedProcess;
  readonly probe: ProbeLoop;
}

const READY_PERIOD_MS = 2000;

export class ControlPlane {
  readonly components: ReadonlyMap<ComponentName, Component>;
  readonly #options: ControlPlaneOptions;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
    this.components = new Map(COMPONENT_NAMES.map((name) => [name, this.#component(name)]));
  }

  get ready(): boolean {
    return [...this.components.values()].every((each) => each.probe.ready);
  }

  /** Starts all three. Galley and Pilot wait for Citadel's root before their processes begin. */
  start(): void {
    for (const component of this.components.values()) component.process.start();
  }

  /** @param workloadsEnd Citadel is there until then: it signs how the audit logs of sidecars end */
  async close(options: StopOptions, workloadsEnd: Promise<void>): Promise<void> {
    for (const component of this.components.values()) component.probe.stop();
    await Promise.all(
      [...this.components.values()].map(async ({ name, process }) => {
        if (name === 'citadel') await workloadsEnd;
        await process.stop(options);
      }),
    );
  }

  #component(name: ComponentName): Component {
    const { reaper, logger, onChange, mesh } = this.#options;
    let prepared: Promise<void> | undefined;
    let lastPid: number | undefined;
    const child = new ManagedProcess({
      name,
      reaper,
      logger,
      onChange: () => {
        // What the last process answered says nothing about the next one.
        if (child.pid !== lastPid) probe.reset();
        lastPid = child.pid;
        onChange();
      },
      plan: async () => {
        prepared ??= this.#prepare(name);
        await prepared.catch((error) => {
          prepared = undefined;
          throw error;
        });
        return {
          command: process.execPath,
          args: [appProgram(name), ...this.#flags(name)],
          workingDirectory: this.#options.layout.component(name),
          env: { PATH: process.env.PATH ?? '' },
          logFile: join(this.#options.layout.logs, `${name}.log`),
          holdsInput: true,
        };
      },
    });
    const { address, monitoringPort } = mesh[name];
    const probe = startProbeLoop(
      { ...DEFAULT_PROBE, kind: 'http', path: '/ready', periodMs: READY_PERIOD_MS },
      () => (child.state === 'running' ? { host: address, port: monitoringPort } : undefined),
      onChange,
    );
    return { name, process: child, probe };
  }

  async #prepare(name: ComponentName): Promise<void> {
    const { layout, tokens, roots } = this.#options;
    const directory = layout.component(name);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    if (name === 'citadel') return;
    await tokens.add(join(directory, 'token'), { namespace: SYSTEM_NAMESPACE, serviceAccount: name });
    await roots.ready();
    // In a directory of its own: `root-cert.pem` beside the component's key is the component's file.
    await mkdir(join(directory, 'trust'), { recursive: true, mode: 0o700 });
    await roots.copyTo(join(directory, 'trust'));
  }

  #flags(name: ComponentName): string[] {
    const { layout, mesh, trustDomain, logLevel } = this.#options;
    const directory = layout.component(name);
    const shared = [
      ...['--address', mesh[name].address],
      ...['--state-dir', directory],
      ...['--trust-domain', trustDomain],
      ...['--log-level', logLevel],
      '--exit-with-parent',
    ];
    const certificate = [
      ...['--citadel-address', `${mesh.citadel.address}:${mesh.citadel.grpcPort}`],
      ...['--token-file', join(directory, 'token')],
      ...['--root-cert', join(directory, 'trust', 'root-cert.pem')],
    ];
    switch (name) {
      case 'citadel':
        return [...shared, '--token-key', layout.tokenJwksFile, ...this.#options.citadelFlags];
      case 'galley':
        return [...shared, ...certificate, '--mesh-config', this.#options.meshConfigFile];
      case 'pilot':
        return [...shared, ...certificate, '--galley-address', `${mesh.galley.address}:${mesh.galley.xdsPort}`];
    }
  }
}
