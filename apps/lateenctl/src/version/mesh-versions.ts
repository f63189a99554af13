// Version: what a mesh of this machine, or a control plane by address, says of itself; proxies are counted as Pilot knows them.

import { get } from 'node:http';
import type { Command } from 'commander';
import { remoteEndpoints, stateDirOf, targetOf } from '../commands/context.js';
import { openMesh } from '../mesh/open-mesh.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { CliError, UnreachableError } from '../output/cli-error.js';
import { COMPONENT_NAMES } from '../state/state-layout.js';

export interface ComponentVersion {
  readonly component: string;
  /** In a cluster: NAME of the pod. */
  readonly pod?: string;
  /** Null where it does not answer. */
  readonly version: string | null;
  /** It said so itself. */
  readonly told: boolean;
}

export interface ProxyVersions {
  readonly version: string;
  readonly proxies: number;
}

export interface MeshVersions {
  readonly controlPlane: readonly ComponentVersion[];
  /** Undefined where nobody knows. */
  readonly dataPlane: readonly ProxyVersions[] | undefined;
}

const TIMEOUT_MS = 2000;
/** The well-known one: a control plane by address is named by its admin port only. */
const MONITORING_PORT = 15014;

interface Place {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/** Undefined where no mesh runs. @param warn is told what could not be asked */
export async function localVersions(command: Command, warn: (text: string) => void): Promise<MeshVersions | undefined> {
  const places = placesOf(command);
  if (places.length === 0) return undefined;
  const [controlPlane, dataPlane] = await Promise.all([
    Promise.all(places.map(componentVersion)),
    proxyVersions(command).catch((error: unknown) => {
      if (!(error instanceof CliError)) throw error;
      warn(`versions of the proxies: ${error.message}`);
      return undefined;
    }),
  ]);
  return { controlPlane, dataPlane };
}

/** The monitoring ports of the control plane; none where no mesh runs. */
function placesOf(command: Command): readonly Place[] {
  const remote = remoteEndpoints(command);
  if (remote !== undefined)
    return remote.map(({ service, address }) => ({ name: service, address, port: MONITORING_PORT }));
  try {
    const mesh = openMesh(stateDirOf(command));
    return COMPONENT_NAMES.map((name) => ({ name, address: mesh[name].address, port: mesh[name].monitoringPort }));
  } catch (error) {
    if (error instanceof UnreachableError) return [];
    throw error;
  }
}

async function componentVersion({ name, address, port }: Place): Promise<ComponentVersion> {
  const version = await versionAt(address, port);
  return { component: name, version, told: version !== null };
}

async function proxyVersions(command: Command): Promise<readonly ProxyVersions[]> {
  const { controlPlane } = await targetOf(command);
  const proxies = await pilotDebug<readonly { version: string }[]>(controlPlane, '/debug/syncz', TIMEOUT_MS);
  return countVersions(proxies.map(({ version }) => version));
}

/** How many proxies have each version, the most frequent first. */
export function countVersions(versions: readonly string[]): readonly ProxyVersions[] {
  const counts = new Map<string, number>();
  for (const version of versions) counts.set(version, (counts.get(version) ?? 0) + 1);
  return [...counts]
    .map(([version, proxies]) => ({ version: version || 'unknown', proxies }))
    .sort((a, b) => b.proxies - a.proxies || (a.version < b.version ? -1 : 1));
}

/** The version that a component tells at its monitoring port, or null where it does not answer. */
export function versionAt(host: string, port: number, timeoutMs = TIMEOUT_MS): Promise<string | null> {
  return new Promise((resolve) => {
    const call = get({ host, port, path: '/version', agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('error', () => resolve(null));
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(versionIn(text)));
    });
    call.setTimeout(timeoutMs, () => call.destroy());
    call.on('error', () => resolve(null));
  });
}

/** Another program may listen there. */
function versionIn(text: string): string | null {
  try {
    const { version } = JSON.parse(text) as { version?: unknown };
    return typeof version === 'string' ? version : null;
  } catch {
    return null;
  }
}
