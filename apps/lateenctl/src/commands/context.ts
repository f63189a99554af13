// Commands: options that every command has, and what a command talks to.

import { existsSync } from 'node:fs';
import type { AdminRole } from '@lateen/identity/plain';
import type { Command } from 'commander';
import { CLUSTER_OPTIONS, type Cluster, clusterOf, hasKubeconfig } from '../cluster/cluster.js';
import { clusterControlPlane } from '../cluster/cluster-control-plane.js';
import type { PortForwards } from '../cluster/port-forward.js';
import { ControlClient } from '../mesh/control-client.js';
import { ADMIN_SERVICES, type ControlPlane } from '../mesh/control-plane.js';
import { type KnownPod, podsOfPilot } from '../mesh/known-pods.js';
import { localControlPlane, openMesh } from '../mesh/open-mesh.js';
import {
  namedEndpoints,
  type RemoteEndpoint,
  type RemoteOptions,
  remoteControlPlane,
} from '../mesh/remote-control-plane.js';
import { UsageError } from '../output/cli-error.js';
import { DEFAULT_STATE_DIR, stateLayout } from '../state/state-layout.js';

export const DEFAULT_NAMESPACE = 'default';

interface GlobalOptions extends RemoteOptions {
  readonly stateDir?: string;
  readonly as?: AdminRole;
  /** Of a cluster; commands that have a revision of their own say it there. */
  readonly revision?: string;
}

/** What a command talks to: a mesh on this machine, or a control plane that was named by address. */
export interface Target {
  readonly controlPlane: ControlPlane;
  /** Undefined for a control plane by address: the supervisor is reached on its own machine only. */
  readonly supervisor: ControlClient | undefined;
  /** Of a mesh in a cluster. */
  readonly cluster: (Cluster & { readonly forwards: PortForwards }) | undefined;
  pods(): Promise<readonly KnownPod[]>;
}

/** The state directory that a command is to use: --state-dir, else LATEEN_STATE_DIR, else .lateen. */
export function stateDirOf(command: Command): string {
  const { stateDir } = command.optsWithGlobals<GlobalOptions>();
  return stateDir ?? process.env.LATEEN_STATE_DIR ?? DEFAULT_STATE_DIR;
}

/** The services that the command line names by address; undefined where it means a mesh of this machine. */
export function remoteEndpoints(command: Command): readonly RemoteEndpoint[] | undefined {
  const options = command.optsWithGlobals<GlobalOptions>();
  return isRemote(command, options) ? namedEndpoints(options) : undefined;
}

/** @throws UsageError where a command that is for this machine was given the address of another */
export function requireLocal(command: Command): void {
  const named = ADMIN_SERVICES.find((name) => command.getOptionValueSourceWithGlobals(name) === 'cli');
  if (named !== undefined) throw new UsageError(`--${named}: \`local\` commands are for the mesh of this machine`);
}

/** The supervisor of the mesh on this machine. @throws UnreachableError where none runs */
export function supervisorOf(command: Command): ControlClient {
  return new ControlClient(openMesh(stateDirOf(command)).controlSocket);
}

/**
 * What the command line, or the environment, points to: addresses, then a state directory or a mesh that runs here, then a cluster.
 * @throws UnreachableError where none of these is there
 */
export async function targetOf(command: Command): Promise<Target> {
  const options = command.optsWithGlobals<GlobalOptions>();
  if (isRemote(command, options)) {
    const controlPlane = remoteControlPlane(options);
    return { controlPlane, supervisor: undefined, cluster: undefined, pods: () => podsOfPilot(controlPlane) };
  }
  if (meansCluster(command)) return clusterTarget(command, options);
  const mesh = openMesh(stateDirOf(command));
  const supervisor = new ControlClient(mesh.controlSocket);
  const pods = async () => (await supervisor.status()).pods;
  return { controlPlane: localControlPlane(mesh, options.as), supervisor, cluster: undefined, pods };
}

/** Whether a command is about a cluster: one was named, or there is a kubeconfig and no mesh runs here. */
export function meansCluster(command: Command): boolean {
  const options = command.optsWithGlobals<GlobalOptions>();
  if (isRemote(command, options)) return false;
  const named = CLUSTER_OPTIONS.some((name) => command.getOptionValueSourceWithGlobals(name) === 'cli');
  if (named && command.getOptionValueSourceWithGlobals('stateDir') === 'cli') {
    throw new UsageError('--state-dir names a mesh of this machine: give it, or --kubeconfig and --context');
  }
  if (named) return true;
  if (options.stateDir !== undefined || process.env.LATEEN_STATE_DIR) return false;
  return !existsSync(stateLayout(DEFAULT_STATE_DIR).meshFile) && hasKubeconfig();
}

async function clusterTarget(command: Command, options: GlobalOptions): Promise<Target> {
  const cluster = await clusterOf(command);
  const { controlPlane, forwards } = await clusterControlPlane(
    cluster,
    options.revision ?? 'default',
    options.as ?? 'admin',
  );
  endings.push(() => forwards.close());
  return {
    controlPlane,
    supervisor: undefined,
    cluster: { ...cluster, forwards },
    pods: () => podsOfPilot(controlPlane),
  };
}

const endings: (() => void)[] = [];

/** Closes what commands have opened, so that the program can end. */
export function closeTargets(): void {
  for (const end of endings.splice(0)) end();
}

/** Addresses mean a remote control plane; a state directory on the command line comes before addresses in variables. */
function isRemote(command: Command, options: GlobalOptions): boolean {
  const { stateDir } = options;
  if (ADMIN_SERVICES.every((service) => options[service] === undefined)) return false;
  if (stateDir === undefined) return true;
  const onCommandLine = ADMIN_SERVICES.some((name) => command.getOptionValueSourceWithGlobals(name) === 'cli');
  if (onCommandLine)
    throw new UsageError('--state-dir names a mesh of this machine: give it, or --galley and its like');
  return false;
}

/** The supervisor of the mesh. @throws UsageError where there is none to talk to. @param what it is needed for */
export function requireSupervisor({ supervisor }: Target, what: string): ControlClient {
  if (supervisor !== undefined) return supervisor;
  throw new UsageError(
    `${what}: the supervisor of a local mesh does that, on its own machine only; leave --galley and --pilot out there`,
  );
}

/** Collects the values of an option that may be given several times. */
export function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const MAX_DURATION_MS = 86_400_000;

/** `30s`, `2m`, `500ms`, or seconds without a unit, in milliseconds. @throws UsageError for what is no time */
export function durationMsOf(option: string, text: string): number {
  const [, number, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim()) ?? [];
  const durationMs = Number(number) * (UNIT_MS[unit] ?? Number.NaN);
  if (!(durationMs <= MAX_DURATION_MS)) {
    throw new UsageError(`${option} ${text}: not a time; say seconds, or as 30s, 2m, 500ms (at most a day)`);
  }
  return durationMs;
}

/** A `--timeout` in milliseconds. @throws UsageError for what is no time */
export function timeoutMsOf(text: string): number {
  return durationMsOf('--timeout', text);
}
