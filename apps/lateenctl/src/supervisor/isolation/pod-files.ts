// Isolation: the files that a pod sees in place of the machine's, and those that its proxy is started by. The texts are pure.

import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makePrivateDirectory } from '../../state/private-directory.js';

const CLUSTER_DOMAIN = 'cluster.local';

/** As the kubelet writes it. The name server is where redirect rules catch the questions; nobody answers there. */
export function resolvConfText(nameServer: string, namespace: string): string {
  const search = [`${namespace}.svc`, 'svc'].map((zone) => `${zone}.${CLUSTER_DOMAIN}`).join(' ');
  return `nameserver ${nameServer}\nsearch ${search} ${CLUSTER_DOMAIN}\noptions ndots:5\n`;
}

export function hostsText(podName: string, addresses: readonly string[]): string {
  const own = addresses.map((address) => `${address} ${podName}\n`).join('');
  return `127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n${own}`;
}

/** Names by files and DNS only: other services of the machine would answer without asking the pod's proxy. */
export const NSSWITCH_TEXT =
  'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n';

/** As the downward API writes labels and annotations. */
export function downwardText(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}\n`)
    .join('');
}

/** Where things lie in a pod's directory. */
export function podFiles(directory: string) {
  const etc = join(directory, 'etc');
  const proxyRoot = join(directory, 'root');
  return {
    etc,
    resolvConf: join(etc, 'resolv.conf'),
    hosts: join(etc, 'hosts'),
    nsswitch: join(etc, 'nsswitch.conf'),
    /** What stands before every path that the proxy knows (LATEEN_POD_ROOT). */
    proxyRoot,
    token: join(proxyRoot, 'var/run/secrets/tokens/istio-token'),
    rootCertDirectory: join(proxyRoot, 'var/run/secrets/istio'),
    labels: join(proxyRoot, 'etc/istio/pod/labels'),
    annotations: join(proxyRoot, 'etc/istio/pod/annotations'),
  };
}

export interface PodFilesOptions {
  readonly podName: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly nameServer: string;
}

/** Writes all of them but those of Citadel. */
export async function writePodFiles(directory: string, options: PodFilesOptions): Promise<void> {
  const files = podFiles(directory);
  makePrivateDirectory(join(directory, 'sidecar'));
  for (const each of [files.etc, join(files.token, '..'), files.rootCertDirectory, join(files.labels, '..')]) {
    await mkdir(each, { recursive: true, mode: 0o700 });
  }
  // The proxy's own memory is where it is without isolation.
  await symlink(join(directory, 'sidecar'), join(files.proxyRoot, 'var/run/lateen')).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    },
  );
  await writeFile(files.resolvConf, resolvConfText(options.nameServer, options.namespace));
  await writeFile(files.hosts, hostsText(options.podName, options.addresses));
  await writeFile(files.nsswitch, NSSWITCH_TEXT);
  await writeFile(files.labels, downwardText(options.labels));
  await writeFile(files.annotations, downwardText(options.annotations));
}
