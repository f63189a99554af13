// Source: the file of --mesh-config. One that is not valid changes nothing; without a file the mesh has the defaults.

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Problem } from '@lateen/istio-config';
import type { ConfigRules } from '../rules.js';
import type { ConfigStore } from '../store/config-store.js';
import { MESH_CONFIG, type ResourceContent, resourceKey } from '../store/stored-resource.js';
import type { FileStatus } from './config-directory.js';
import { hasErrors } from './ownership.js';

export interface MeshConfigFileOptions {
  /** Undefined: the defaults are served, and what an earlier run knew is forgotten. */
  readonly file: string | undefined;
  readonly store: ConfigStore;
  readonly rules: ConfigRules;
  /** Told when the file's standing changes. */
  readonly onStatus: (status: FileStatus) => void;
}

const KEY = resourceKey(MESH_CONFIG.kind, MESH_CONFIG.namespace, MESH_CONFIG.name);

export class MeshConfigFile {
  readonly #options: MeshConfigFileOptions;
  #status: FileStatus | undefined;

  constructor(options: MeshConfigFileOptions) {
    this.#options = options;
  }

  get status(): FileStatus | undefined {
    return this.#status;
  }

  /** Reads the file and puts it in force where it is valid. */
  async refresh(): Promise<void> {
    const { file, store, rules, onStatus } = this.#options;
    const found = file === undefined ? DEFAULTS : await read(file, rules);
    await enforceMeshConfig(store, file === undefined ? DEFAULTS_NAME : basename(file), found);
    const status = {
      file: file ?? DEFAULTS_NAME,
      accepted: !hasErrors(found.problems),
      problems: found.problems,
      kinds: [],
    };
    if (JSON.stringify(status) !== JSON.stringify(this.#status)) onStatus(status);
    this.#status = status;
  }
}

export interface FoundMeshConfig {
  readonly config?: unknown;
  readonly problems: readonly Problem[];
}

/** Puts it in force where it is valid; else the last good one stays. @param name where it was written */
export async function enforceMeshConfig(store: ConfigStore, name: string, found: FoundMeshConfig): Promise<void> {
  const accepted = !hasErrors(found.problems);
  await store.transact((state) => {
    // At the very first start an unreadable file must not keep the mesh without any MeshConfig.
    if (!accepted && state.resources.has(KEY)) return { result: undefined };
    return { change: { put: [contentOf(name, accepted ? found.config : {})], remove: [] }, result: undefined };
  });
}

export const DEFAULTS_NAME = '(defaults)';
/** A mesh without a MeshConfig of its own. */
export const DEFAULTS: FoundMeshConfig = { config: {}, problems: [] };

async function read(file: string, rules: ConfigRules): Promise<FoundMeshConfig> {
  let content: string;
  try {
    content = await readFile(file, 'utf8');
  } catch (error) {
    const message = `MeshConfig cannot be read: ${(error as Error).message}`;
    const place = { file, line: 0, column: 0, kind: MESH_CONFIG.kind, namespace: MESH_CONFIG.namespace };
    return {
      problems: [{ ...place, name: MESH_CONFIG.name, path: '', severity: 'error', code: 'unreadable', message }],
    };
  }
  return rules.parseMeshConfig({ name: basename(file), content });
}

function contentOf(name: string, config: unknown): ResourceContent {
  const { group: _, ...identity } = MESH_CONFIG;
  return {
    ...identity,
    labels: {},
    annotations: {},
    spec: config,
    source: { file: name, line: 1, column: 1 },
    origin: 'mesh-config',
  };
}
