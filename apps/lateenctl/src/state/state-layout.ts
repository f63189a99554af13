// State on disk: where each file of a local mesh lies under its state directory.

import { createHash } from 'node:crypto';
import { chmodSync, existsSync, lstatSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import type { AdminRole } from '@lateen/identity/plain';
import { makePrivateDirectory } from './private-directory.js';

export const DEFAULT_STATE_DIR = '.lateen';
/** sun_path holds 104 bytes on macOS and 108 on Linux, with the final NUL. */
const MAX_SOCKET_PATH_BYTES = 100;

export type ComponentName = 'citadel' | 'galley' | 'pilot';
export const COMPONENT_NAMES: readonly ComponentName[] = ['citadel', 'galley', 'pilot'];

export interface StateLayout {
  readonly root: string;
  readonly meshFile: string;
  readonly meshConfigFile: string;
  readonly supervisor: string;
  readonly supervisorLog: string;
  readonly addressesFile: string;
  readonly objectsFile: string;
  /** Hosts of ServiceEntries, as Pilot said last. */
  readonly entryHostsFile: string;
  readonly tokenKeyFile: string;
  readonly tokenJwksFile: string;
  /** The supervisor's own certificate, for the workload registry. */
  readonly registryIdentity: string;
  /** The CLI's certificate, one for each role at the admin APIs. */
  roleIdentity(role: AdminRole): string;
  readonly controlSocket: string;
  readonly logs: string;
  /** A component's `--state-dir`. */
  component(name: ComponentName): string;
  pod(namespace: string, name: string): string;
  readonly pods: string;
}

/** The layout under a state directory; makes nothing. */
export function stateLayout(stateDir: string): StateLayout {
  const root = resolve(stateDir);
  const supervisor = join(root, 'supervisor');
  return {
    root,
    meshFile: join(root, 'mesh.json'),
    meshConfigFile: join(root, 'mesh.yaml'),
    supervisor,
    supervisorLog: join(supervisor, 'supervisor.log'),
    addressesFile: join(supervisor, 'addresses.json'),
    objectsFile: join(supervisor, 'objects.json'),
    entryHostsFile: join(supervisor, 'entry-hosts.json'),
    tokenKeyFile: join(supervisor, 'token-key.pem'),
    tokenJwksFile: join(supervisor, 'token-key.jwks.json'),
    registryIdentity: join(supervisor, 'registry'),
    roleIdentity: (role) => join(supervisor, role),
    controlSocket: controlSocketPath(supervisor, root),
    logs: join(root, 'logs'),
    component: (name) => join(root, name),
    pod: (namespace, name) => join(root, 'pods', `${namespace}.${name}`),
    pods: join(root, 'pods'),
  };
}

function controlSocketPath(supervisor: string, root: string): string {
  const beside = join(supervisor, 'control.sock');
  if (Buffer.byteLength(beside) <= MAX_SOCKET_PATH_BYTES) return beside;
  const digest = createHash('sha256').update(root).digest('hex').slice(0, 16);
  return join(runtimeDirectoryPath(), `${digest}.sock`);
}

function runtimeDirectoryPath(): string {
  const sessionDirectory = process.env.XDG_RUNTIME_DIR;
  if (sessionDirectory && existsSync(sessionDirectory)) return join(sessionDirectory, 'lateen');
  return join(tmpdir(), `lateen-${userInfo().uid}`);
}

/**
 * The directory of this user's locks and long-path sockets, made private.
 * @throws Error where somebody else made it (a shared /tmp)
 */
export function runtimeDirectory(): string {
  const path = makePrivateDirectory(runtimeDirectoryPath());
  const stat = lstatSync(path);
  if (!stat.isDirectory() || (process.getuid !== undefined && stat.uid !== process.getuid())) {
    throw new Error(`${path} belongs to somebody else; set XDG_RUNTIME_DIR to a directory of your own`);
  }
  if ((stat.mode & 0o077) !== 0) chmodSync(path, 0o700);
  return path;
}
