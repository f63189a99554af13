// CNI installer: puts the plugin in place on the node, looks that it stays there, and takes it away at the end.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { RedirectError } from '../commands.js';
import { carryPrograms, launcher } from './carried-programs.js';
import { findNetworkFile, insertPlugin, PLUGIN_TYPE, removePlugin } from './conflist.js';

export interface InstallationOptions {
  /** The node's directory of plugins, as it is mounted here and as the node calls it. */
  readonly binDirectory: string;
  readonly nodeBinDirectory: string;
  /** The same of configurations. */
  readonly netDirectory: string;
  readonly nodeNetDirectory: string;
  /** Name of the network's file; found where it is not given. */
  readonly networkFile: string | undefined;
  readonly excludeNamespaces: readonly string[];
  readonly podNamespace: string;
  /** Of the pod's own account: what the plugin is towards the API server. */
  readonly tokenFile: string;
  readonly caFile: string;
  readonly apiServer: string;
  /** The built program. */
  readonly program: string;
}

/** After the networks by name, so that no runtime takes it for one. */
const KUBECONFIG = 'ZZZ-lateen-cni-kubeconfig';
const DIRECTORY_PREFIX = `.${PLUGIN_TYPE}-`;

/** Written beside, then renamed: nobody reads half of it. */
function writeWhole(file: string, text: string, mode: number): void {
  writeFileSync(`${file}.new`, text, { mode });
  renameSync(`${file}.new`, file);
}

export class Installation {
  readonly #options: InstallationOptions;
  readonly #directoryName: string;

  constructor(options: InstallationOptions) {
    this.#options = options;
    const hash = createHash('sha256').update(readFileSync(options.program)).update(process.version).digest('hex');
    this.#directoryName = `${DIRECTORY_PREFIX}${hash.slice(0, 12)}`;
  }

  /** Puts in place what is not there, or not as it should be. @returns what was changed, for the log; what is waited for. @throws RedirectError */
  keep(): { readonly changed: readonly string[]; readonly missing: string | undefined } {
    const changed = [this.#keepPrograms(), this.#keepKubeconfig()];
    const network = this.#networkFile();
    if (network === undefined) {
      return { changed: changed.flat(), missing: `a network of another plugin in ${this.#options.netDirectory}` };
    }
    changed.push(this.#keepEntry(network));
    return { changed: changed.flat(), missing: undefined };
  }

  /** First out of the list, so that no runtime calls what is not there. */
  remove(): void {
    const { netDirectory, binDirectory } = this.#options;
    const network = this.#networkFile();
    if (network !== undefined) {
      const file = join(netDirectory, network);
      const before = readFileSync(file, 'utf8');
      if (hasEntry(before)) writeWhole(file, removePlugin(before, network), 0o644);
    }
    rmSync(join(binDirectory, PLUGIN_TYPE), { force: true });
    rmSync(join(netDirectory, KUBECONFIG), { force: true });
    this.#removeDirectories(undefined);
  }

  #keepPrograms(): string[] {
    const { binDirectory, nodeBinDirectory, program } = this.#options;
    const directory = join(binDirectory, this.#directoryName);
    const nodeDirectory = `${nodeBinDirectory}/${this.#directoryName}`;
    const executable = join(binDirectory, PLUGIN_TYPE);
    const wanted = launcher(nodeDirectory);
    if (existsSync(directory) && existsSync(executable) && readFileSync(executable, 'utf8') === wanted) return [];
    const fresh = `${directory}.new`;
    rmSync(fresh, { recursive: true, force: true });
    carryPrograms(fresh, nodeDirectory, program);
    rmSync(directory, { recursive: true, force: true });
    renameSync(fresh, directory);
    writeWhole(executable, wanted, 0o755);
    this.#removeDirectories(this.#directoryName);
    return [`${executable} and ${directory}`];
  }

  /** Of earlier versions, or all. */
  #removeDirectories(except: string | undefined): void {
    const { binDirectory } = this.#options;
    for (const name of readdirSync(binDirectory)) {
      if (name.startsWith(DIRECTORY_PREFIX) && name !== except)
        rmSync(join(binDirectory, name), { recursive: true, force: true });
    }
  }

  #keepKubeconfig(): string[] {
    const { netDirectory, tokenFile, caFile, apiServer } = this.#options;
    const file = join(netDirectory, KUBECONFIG);
    const read = (name: string): Buffer => {
      try {
        return readFileSync(name);
      } catch (error) {
        throw new RedirectError(
          `${(error as Error).message}: this program runs in a pod with a service account's token`,
        );
      }
    };
    const wanted = `${JSON.stringify(
      {
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'lateen-cni',
        clusters: [{ name: 'local', cluster: { server: apiServer, ...authorityOf(apiServer, () => read(caFile)) } }],
        users: [{ name: 'lateen-cni', user: { token: read(tokenFile).toString('utf8').trim() } }],
        contexts: [{ name: 'lateen-cni', context: { cluster: 'local', user: 'lateen-cni' } }],
      },
      undefined,
      2,
    )}\n`;
    if (existsSync(file) && readFileSync(file, 'utf8') === wanted) return [];
    writeWhole(file, wanted, 0o600);
    return [file];
  }

  #keepEntry(network: string): string[] {
    const { netDirectory, nodeNetDirectory, excludeNamespaces, podNamespace } = this.#options;
    const file = join(netDirectory, network);
    const before = readFileSync(file, 'utf8');
    const after = insertPlugin(before, network, {
      kubeconfig: `${nodeNetDirectory}/${KUBECONFIG}`,
      exclude_namespaces: excludeNamespaces,
      pod_namespace: podNamespace,
    });
    if (before === after) return [];
    if (network.endsWith('.conflist')) {
      writeWhole(file, after, 0o644);
      return [file];
    }
    // A single plugin: the list takes its place, under a name that runtimes read as one.
    const list = `${file.replace(/\.(conf|json)$/, '')}.conflist`;
    writeWhole(list, after, 0o644);
    rmSync(file);
    return [`${list}, instead of ${basename(file)}`];
  }

  #networkFile(): string | undefined {
    const { networkFile, netDirectory } = this.#options;
    if (networkFile === undefined) return findNetworkFile(netDirectory);
    return existsSync(join(netDirectory, networkFile)) ? networkFile : undefined;
  }
}

function hasEntry(text: string): boolean {
  return text.includes(`"${PLUGIN_TYPE}"`);
}

/** Plain HTTP has no certificate to verify, and clients want that said. */
function authorityOf(apiServer: string, read: () => Buffer): object {
  return apiServer.startsWith('http:')
    ? { 'insecure-skip-tls-verify': true }
    : { 'certificate-authority-data': read().toString('base64') };
}
