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
    const { config, problems } = file === undefined ? DEFAULTS : await read(file, rules);
    const accepted = !hasErrors(problems);
    await store.transact((state) => {
      // At the very first start an unreadable file must not keep the mesh without any MeshConfig.
      if (!accepted && state.resources.has(KEY)) return { result: undefined };
      return { change: { put: [contentOf(file, accepted ? config : {})], remove: [] }, result: undefined };
    });
    const status = { file: file ?? '(defaults)', accepted, problems, kinds: [] };
    if (JSON.stringify(status) !== JSON.stringify(this.#status)) onStatus(status);
    this.#status = status;
  }
}

const DEFAULTS = { config: {}, problems: [] as readonly Problem[] };

async function read(file: string, rules: ConfigRules): Promise<{ config?: unknown; problems: readonly Problem[] }> {
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

function contentOf(file: string | undefined, config: unknown): ResourceContent {
  const { kind, apiVersion, namespace, name } = MESH_CONFIG;
  return {
    apiVersion,
    kind,
    namespace,
    name,
    labels: {},
    annotations: {},
    spec: config,
    source: { file: file === undefined ? '(defaults)' : basename(file), line: 1, column: 1 },
    origin: 'mesh-config',
  };
}
