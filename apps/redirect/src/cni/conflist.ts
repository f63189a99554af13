// CNI installer: this plugin's entry in the list of plugins that a node's runtime calls.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RedirectError } from '../commands.js';

/** The name of the executable, which is its type in configurations. */
export const PLUGIN_TYPE = 'lateen-cni';

/** This plugin's entry, less its type. */
export interface PluginEntry {
  readonly kubeconfig: string;
  readonly exclude_namespaces: readonly string[];
  readonly pod_namespace: string;
}

interface Configuration {
  readonly name?: string;
  readonly cniVersion?: string;
  readonly type?: string;
  readonly plugins?: readonly { readonly type?: string }[];
}

/** The file that runtimes take: the first by name that is a network. undefined where there is none yet. */
export function findNetworkFile(directory: string): string | undefined {
  const names = readdirSync(directory).filter((name) => /\.(conf|conflist|json)$/.test(name));
  return names.sort().find((name) => {
    try {
      const { plugins, type } = parse(readFileSync(join(directory, name), 'utf8'), name);
      return name.endsWith('.conflist') ? (plugins ?? []).length > 0 : type !== undefined;
    } catch {
      // Runtimes pass it by too.
      return false;
    }
  });
}

function parse(text: string, name: string): Configuration {
  try {
    return JSON.parse(text) as Configuration;
  } catch (error) {
    throw new RedirectError(`${name} is not JSON: ${(error as Error).message}`);
  }
}

/** The list with our entry at its end, once; a single plugin becomes a list. @throws RedirectError */
export function insertPlugin(text: string, name: string, entry: PluginEntry): string {
  const given = parse(text, name);
  const { cniVersion: _, ...single } = given;
  const list =
    given.plugins === undefined
      ? { name: given.name ?? 'k8s-pod-network', cniVersion: given.cniVersion ?? '0.3.1', plugins: [single] }
      : given;
  const others = (list.plugins ?? []).filter(({ type }) => type !== PLUGIN_TYPE);
  return `${JSON.stringify({ ...list, plugins: [...others, { type: PLUGIN_TYPE, ...entry }] }, undefined, 2)}\n`;
}

/** The list without our entry. @throws RedirectError */
export function removePlugin(text: string, name: string): string {
  const list = parse(text, name);
  return `${JSON.stringify({ ...list, plugins: (list.plugins ?? []).filter(({ type }) => type !== PLUGIN_TYPE) }, undefined, 2)}\n`;
}
