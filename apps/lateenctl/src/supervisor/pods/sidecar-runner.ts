// Pods: starts a pod's sidecar: its bootstrap file, token, trust root and process.

import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { buildBootstrap, type SidecarNode, sidecarProcesses } from '@lateen/bootstrap';
import { writeFileAtomic } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import type { ProxySettings } from '@lateen/translate';
import { interceptedLaunchPlan } from '../isolation/intercepted-sidecar.js';
import { podFiles } from '../isolation/pod-files.js';
import type { PodNetwork } from '../isolation/pod-network.js';
import type { MeshAddresses } from '../mesh-addresses.js';
import { ManagedProcess } from '../processes/managed-process.js';
import type { Reaper } from '../processes/reaper.js';
import type { ProxySettingsSource } from '../proxy-settings-source.js';
import type { TokenFiles } from '../token-files.js';
import type { TrustRoots } from '../trust-roots.js';
import { DEFAULT_PROBE, type ProbeLoop, startProbeLoop } from './probe.js';

const READY_PORT = 15021;
const READY_PATH = '/healthz/ready';
const READY_PERIOD_MS = 2000;

export interface SidecarRunnerOptions {
  /** The sidecar's program, `apps/sidecar/dist/main.js`. */
  readonly program: string;
  readonly mesh: MeshAddresses;
  readonly trustDomain: string;
  readonly version: string;
  readonly logLevel: string;
  readonly tokens: TokenFiles;
  readonly roots: TrustRoots;
  /** What sidecars are started with. */
  readonly settings: Pick<ProxySettingsSource, 'resolve'>;
  readonly reaper: Reaper;
  readonly logger: Logger;
}

/** Of a pod with a network of its own. */
export interface Interception {
  readonly network: PodNetwork;
  /** Probes of the application that its sidecar answers, by path. */
  readonly probers: Readonly<Record<string, object>>;
}

export class SidecarRunner {
  readonly #options: SidecarRunnerOptions;

  constructor(options: SidecarRunnerOptions) {
    this.#options = options;
  }

  /** The sidecar process of a pod; its files are written in `directory` at the first start. */
  process(
    node: SidecarNode,
    directory: string,
    interception: Interception | undefined,
    onChange: () => void,
  ): ManagedProcess {
    const { reaper, logger } = this.#options;
    const files = filesOf(directory, interception);
    let prepared: Promise<void> | undefined;
    return new ManagedProcess({
      name: `${node.namespace}/${node.podName}/sidecar`,
      reaper,
      logger,
      onChange,
      plan: async () => {
        await interception?.network.ready();
        prepared ??= this.#prepare(node, files);
        await prepared.catch((error) => {
          prepared = undefined;
          throw error;
        });
        const settings = await this.#options.settings.resolve(node);
        if (interception !== undefined) {
          return interceptedLaunchPlan({ ...this.#options, ...interception, node, directory, settings });
        }
        await this.#writeBootstrap(node, directory, settings);
        return this.#launchPlan(directory, settings);
      },
    });
  }

  /** Writes what a sidecar that somebody else starts needs, and says how it is started. */
  async prepareOutside(
    node: SidecarNode,
    directory: string,
    metadata: Readonly<Record<string, unknown>>,
  ): Promise<{ readonly command: readonly string[]; readonly environment: Readonly<Record<string, string>> }> {
    await this.#prepare(node, filesOf(directory, undefined));
    const settings = await this.#options.settings.resolve(node);
    await this.#writeBootstrap(node, directory, settings, metadata);
    const { command, args } = this.#launchPlan(directory, settings);
    const environment = { ...settings.environment };
    return { command: [command, ...args.filter((arg) => arg !== '--exit-with-parent')], environment };
  }

  /** Asks the sidecar's own readiness endpoint. */
  probe(address: string, isRunning: () => boolean, onChange: () => void): ProbeLoop {
    const probe = { ...DEFAULT_PROBE, kind: 'http' as const, path: READY_PATH, periodMs: READY_PERIOD_MS };
    return startProbeLoop(probe, () => (isRunning() ? { host: address, port: READY_PORT } : undefined), onChange);
  }

  /** The pod is gone: nothing more is kept fresh for it. */
  forget(directory: string, interception: Interception | undefined): void {
    const files = filesOf(directory, interception);
    this.#options.tokens.remove(files.token);
    this.#options.roots.forget(files.rootCertDirectory);
  }

  async #prepare(node: SidecarNode, { state, token, rootCertDirectory }: SidecarFiles): Promise<void> {
    const { tokens, roots } = this.#options;
    await mkdir(state, { recursive: true, mode: 0o700 });
    const { namespace, serviceAccount, podName } = node;
    await tokens.add(token, { namespace, serviceAccount, podName });
    await roots.ready();
    await roots.copyTo(rootCertDirectory);
  }

  /** At each start, since ProxyConfigs say what is in it. */
  async #writeBootstrap(
    node: SidecarNode,
    directory: string,
    { environment }: ProxySettings,
    metadata: Readonly<Record<string, unknown>> = {},
  ): Promise<void> {
    const { mesh, trustDomain, version } = this.#options;
    const bootstrap = buildBootstrap({
      node,
      pilotAddress: mesh.pilot.address,
      pilotPort: mesh.pilot.xdsPort,
      trustDomain,
      version,
      environment,
      metadata,
    });
    await writeFileAtomic(join(directory, 'bootstrap.yaml'), bootstrap);
  }

  #launchPlan(directory: string, { environment, terminationDrainMs, concurrency }: ProxySettings) {
    const processes = sidecarProcesses(concurrency, availableParallelism());
    const { mesh, trustDomain, logLevel, program } = this.#options;
    return {
      command: process.execPath,
      args: [
        program,
        '--config-path',
        join(directory, 'bootstrap.yaml'),
        '--mode',
        'serve',
        '--state-dir',
        join(directory, 'sidecar'),
        '--citadel-address',
        `${mesh.citadel.address}:${mesh.citadel.grpcPort}`,
        '--token-file',
        join(directory, 'token'),
        '--root-cert',
        join(directory, 'root-cert.pem'),
        '--trust-domain',
        trustDomain,
        '--log-level',
        logLevel,
        ...(terminationDrainMs === undefined ? [] : ['--drain-time', `${terminationDrainMs}ms`]),
        ...(processes === 1 ? [] : ['--concurrency', String(processes)]),
        '--exit-with-parent',
      ],
      workingDirectory: directory,
      env: {
        ...(process.env.TZ === undefined ? {} : { TZ: process.env.TZ }),
        ...environment,
        PATH: process.env.PATH ?? '',
      },
      logFile: join(directory, 'sidecar.log'),
      holdsInput: true,
    };
  }
}

interface SidecarFiles {
  readonly state: string;
  readonly token: string;
  readonly rootCertDirectory: string;
}

/** In a pod with a network of its own they lie where a cluster has them. */
function filesOf(directory: string, interception: Interception | undefined): SidecarFiles {
  const state = join(directory, 'sidecar');
  if (interception === undefined) return { state, token: join(directory, 'token'), rootCertDirectory: directory };
  const { token, rootCertDirectory } = podFiles(directory);
  return { state, token, rootCertDirectory };
}
