// Isolation: how namespaces are made and entered here: by root as they are, by everybody else within a user namespace.
//
// The proxy of a pod is told from its application by its group: a user has one number, and may hand out groups (subgid).

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { HeldNamespace, SYSTEM_ENVIRONMENT } from './held-namespace.js';
import { firstSubordinateGroup } from './subordinate-groups.js';

/** Of the proxy within a pod, as in a cluster. */
export const PROXY_GROUP = 1337;
const SUBGID_FILE = '/etc/subgid';
const GUIDE = 'docs/local-mode.md, "Pods in network namespaces", says what is needed';

export interface NamespaceAccess {
  readonly rootless: boolean;
  /** A command that runs what follows it in new network and mount namespaces. */
  readonly create: readonly string[];
  /** A command that runs what follows it in those of a process. */
  enter(pid: number): readonly string[];
  close(): Promise<void>;
}

/** @throws Error naming everything that is missing, and what to do */
export async function openNamespaceAccess(onLost: () => void): Promise<NamespaceAccess> {
  const rootless = process.getuid?.() !== 0;
  const missing = [...missingPrograms(rootless), ...(rootless ? missingPermissions() : [])];
  if (missing.length > 0) throw unavailable(missing);
  try {
    return rootless ? await openUserNamespace(onLost) : asRoot();
  } catch (error) {
    throw unavailable([(error as Error).message]);
  }
}

function unavailable(reasons: readonly string[]): Error {
  const list = reasons.map((reason) => `  ${reason}`).join('\n');
  return new Error(
    `--isolation netns cannot be had here:\n${list}\n${GUIDE}; without the flag local mode needs nothing of it`,
  );
}

function asRoot(): NamespaceAccess {
  const create = ['unshare', '--mount', '--net', '--'];
  const tried = spawnSync(create[0]!, [...create.slice(1), 'true'], { encoding: 'utf8', env: SYSTEM_ENVIRONMENT });
  if (tried.status !== 0) {
    throw new Error(
      `root may not make namespaces here (${tried.stderr.trim()}): a container needs CAP_SYS_ADMIN for it`,
    );
  }
  return {
    rootless: false,
    create,
    enter: (pid) => ['nsenter', '--target', String(pid), '--net', '--mount', '--'],
    close: async () => {},
  };
}

async function openUserNamespace(onLost: () => void): Promise<NamespaceAccess> {
  const { namespace } = await HeldNamespace.create(['unshare', '--user', '--'], ':', [], onLost);
  const target = String(namespace.pid);
  try {
    const { uid, gid, username } = userInfo();
    const group = firstSubordinateGroup(readFileSync(SUBGID_FILE, 'utf8'), { name: username, uid });
    await writeFile(`/proc/${target}/uid_map`, `0 ${uid} 1\n`);
    const map = [target, '0', String(gid), '1', String(PROXY_GROUP), String(group), '1'];
    const mapped = spawnSync('newgidmap', map, { encoding: 'utf8', env: SYSTEM_ENVIRONMENT });
    if (mapped.status !== 0) throw new Error(`newgidmap ${map.join(' ')} failed: ${mapped.stderr.trim()}`);
    const create = ['nsenter', '--target', target, '--user', '--', 'unshare', '--mount', '--net', '--'];
    const tried = spawnSync(create[0]!, [...create.slice(1), 'true'], { encoding: 'utf8', env: SYSTEM_ENVIRONMENT });
    if (tried.status !== 0) throw new Error(`${refusedReason(tried.stderr.trim())}`);
    return {
      rootless: true,
      create,
      enter: (pid) => ['nsenter', '--target', String(pid), '--user', '--net', '--mount', '--'],
      close: () => namespace.close(),
    };
  } catch (error) {
    await namespace.close();
    throw error;
  }
}

function refusedReason(said: string): string {
  const restricted = readSetting('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === '1';
  const hint = restricted
    ? 'AppArmor restricts user namespaces: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or run as root'
    : 'run as root, or ask who looks after this system';
  return `in a user namespace no network may be made (${said}); ${hint}`;
}

const PACKAGES: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  mount: 'util-linux (on Debian: mount)',
  newgidmap: 'uidmap (on Fedora: shadow-utils)',
};

function isInstalled(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore', env: SYSTEM_ENVIRONMENT }).error === undefined;
}

function missingPrograms(rootless: boolean): string[] {
  if (process.platform !== 'linux') return [`network namespaces are Linux's; this is ${process.platform}`];
  const needed = ['ip', 'unshare', 'nsenter', 'setpriv', 'mount', ...(rootless ? ['newgidmap'] : [])];
  const missing = needed.filter((program) => !isInstalled(program));
  const lines = missing.map((program) => `the program ${program} is missing: install ${PACKAGES[program]}`);
  if (!isInstalled('nft') && !isInstalled('iptables-restore')) {
    lines.push('neither nft nor iptables-restore is there: install nftables (or iptables)');
  }
  return lines;
}

function missingPermissions(): string[] {
  if (process.platform !== 'linux') return [];
  const lines: string[] = [];
  if (readSetting('/proc/sys/kernel/unprivileged_userns_clone') === '0') {
    lines.push('users may not make namespaces: `sudo sysctl kernel.unprivileged_userns_clone=1`, or run as root');
  }
  for (const kind of ['user', 'net', 'mnt']) {
    const setting = `user.max_${kind}_namespaces`;
    if (readSetting(`/proc/sys/${setting.replace('.', '/')}`) === '0') {
      lines.push(`users may not make namespaces: \`sudo sysctl ${setting}=10000\`, or run as root`);
    }
  }
  const { uid, username } = userInfo();
  const text = existsSync(SUBGID_FILE) ? readFileSync(SUBGID_FILE, 'utf8') : '';
  if (firstSubordinateGroup(text, { name: username, uid }) === undefined) {
    lines.push(
      `${SUBGID_FILE} gives the user ${username} no groups, by one of which a proxy is told from its application: ` +
        `\`sudo usermod --add-subgids 100000-165535 ${username}\`, or run as root`,
    );
  }
  return lines;
}

function readSetting(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined; // this kernel has no such setting
  }
}
