// Cluster: the API server that a command line means, and as whom.

import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { ApiError, type ClusterAccess, ClusterAccessError, KubeClient, loadClusterAccess } from '@lateen/kubernetes';
import { type Command, Option } from 'commander';
import { CliError, UnreachableError, UsageError } from '../output/cli-error.js';

interface ClusterOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** A cluster, as every command has it. */
export interface Cluster {
  readonly access: ClusterAccess;
  readonly client: KubeClient;
}

/** Options that name a cluster. */
export const CLUSTER_OPTIONS = ['kubeconfig', 'context'] as const;

/** Whether there is a kubeconfig to find, as kubectl finds it. */
export function hasKubeconfig(): boolean {
  const { KUBECONFIG } = process.env;
  if (KUBECONFIG) return KUBECONFIG.split(delimiter).some((file) => existsSync(file));
  return existsSync(join(homedir(), '.kube', 'config'));
}

/** The options that say which cluster; they stand beside those that say which local mesh. */
export function addClusterOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--kubeconfig <file>', 'a cluster: its kubeconfig (default: KUBECONFIG, else ~/.kube/config)'),
    )
    .addOption(new Option('--context <name>', 'a cluster: context of the kubeconfig'));
}

/** @throws UsageError where no kubeconfig says one */
export async function clusterOf(command: Command): Promise<Cluster> {
  const { kubeconfig, context } = command.optsWithGlobals<ClusterOptions>();
  try {
    const access = await loadClusterAccess({ kubeconfig, context });
    return { access, client: new KubeClient(access) };
  } catch (error) {
    if (error instanceof ClusterAccessError) throw new UsageError(error.message);
    throw error;
  }
}

/** Runs an action with a cluster; connections end with it. Where the API server does not answer, that is what is said. */
export async function withCluster<T>(command: Command, action: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = await clusterOf(command);
  try {
    return await action(cluster);
  } catch (error) {
    if (isAway(error)) {
      const { cause, message } = error as Error;
      const reason = cause instanceof Error ? cause.message : message;
      throw new UnreachableError(`the API server ${cluster.access.server} does not answer: ${reason}`);
    }
    // What it refuses is a result, not a fault of this program.
    if (error instanceof ApiError) throw new CliError(error.message);
    throw error;
  } finally {
    cluster.access.close();
  }
}

/** Whether a call failed because nobody answered it: for the moment, or for good. */
export function isAway(error: unknown): boolean {
  if (error instanceof ApiError) return error.code >= 500 || error.code === 429;
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    const { code } = each as NodeJS.ErrnoException;
    if (code !== undefined && UNREACHABLE.has(code)) return true;
  }
  return false;
}

const UNREACHABLE = new Set([
  'ERR_STREAM_PREMATURE_CLOSE',

  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);
