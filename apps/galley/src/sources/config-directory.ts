// Source: a directory of YAML files. A file that is not valid keeps its last good resources; a removed one loses them.

import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { Problem } from '@lateen/istio-config';
import { type ConfigRules, problemsOfChange } from '../rules.js';
import type { ConfigState, ConfigStore, Decision, StoreChange } from '../store/config-store.js';
import { contentOf, keyOf, type ResourceContent, type ResourceKey, sameContent } from '../store/stored-resource.js';
import { hasErrors, ownershipProblems } from './ownership.js';

/** How a file stands, for people. */
export interface FileStatus {
  /** Relative to the directory. */
  readonly file: string;
  readonly accepted: boolean;
  readonly problems: readonly Problem[];
  /** Kinds of the resources that it puts in force, one for each resource. */
  readonly kinds: readonly string[];
}

/** What was read of a file and what it would put in force. */
interface Candidate {
  readonly put: readonly ResourceContent[];
  readonly problems: readonly Problem[];
}

interface SeenFile extends Candidate {
  readonly stamp: string;
}

export interface ConfigDirectoryOptions {
  readonly directory: string;
  readonly store: ConfigStore;
  readonly rules: ConfigRules;
  /** Namespace of documents that name none. */
  readonly defaultNamespace: string;
  /** Told when a file's standing changes. */
  readonly onStatus: (status: FileStatus) => void;
}

const CONFIG_FILE = /\.(ya?ml|json)$/;

export class ConfigDirectory {
  readonly #options: ConfigDirectoryOptions;
  #seen = new Map<string, SeenFile>();
  #statuses = new Map<string, FileStatus>();
  #problem: string | undefined;
  /** What the last decision was made of: with the same again, there is nothing to decide. */
  #decided: { readonly files: ReadonlyMap<string, SeenFile>; readonly state: ConfigState } | undefined;

  constructor(options: ConfigDirectoryOptions) {
    this.#options = options;
  }

  /** Every file with problems or not, in the order of their names. */
  get statuses(): readonly FileStatus[] {
    return [...this.#statuses.values()];
  }

  /** Why the directory as a whole could not be read; its resources stay as they are then. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /**
   * Reads what changed since the last time and puts it in force. Files that refer to each other and changed together are
   * tried together; those that do not hold up are left out, with the reason, and tried again next time.
   */
  async refresh(): Promise<void> {
    try {
      this.#seen = await this.#readChanged();
      this.#problem = undefined;
    } catch (error) {
      this.#problem = `${this.#options.directory} cannot be read: ${(error as Error).message}`;
      return;
    }
    const { store, rules } = this.#options;
    if (
      this.#decided === undefined ||
      !sameFiles(this.#decided.files, this.#seen) ||
      this.#decided.state !== store.state
    ) {
      await this.#putInForce(store, rules);
    }
  }

  async #putInForce(store: ConfigStore, rules: ConfigRules): Promise<void> {
    const files = this.#seen;
    const decidedBefore = this.#decided?.files;
    const statuses = await store.transact((state) => decide(state, files, rules));
    this.#decided = { files, state: store.state };
    for (const status of statuses) {
      const before = this.#statuses.get(status.file);
      const isNew = decidedBefore?.get(status.file) !== files.get(status.file);
      if (isNew || JSON.stringify(before) !== JSON.stringify(status)) this.#options.onStatus(status);
    }
    this.#statuses = new Map(statuses.map((status) => [status.file, status]));
  }

  async #readChanged(): Promise<Map<string, SeenFile>> {
    const { directory } = this.#options;
    const next = new Map<string, SeenFile>();
    for (const path of await listConfigFiles(directory)) {
      const file = relative(directory, path);
      try {
        const { mtimeMs, size, ino, ctimeMs } = await stat(path);
        const stamp = `${mtimeMs}/${ctimeMs}/${size}/${ino}`;
        const known = this.#seen.get(file);
        next.set(file, known?.stamp === stamp ? known : { stamp, ...this.#read(file, await readFile(path, 'utf8')) });
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT') continue; // removed meanwhile
        const problems = [fileProblem(file, 'unreadable', `the file cannot be read: ${(error as Error).message}`)];
        next.set(file, { stamp: '', put: [], problems });
      }
    }
    return next;
  }

  #read(file: string, content: string): Candidate {
    const parsed = this.#options.rules.parse([{ name: file, content }], this.#options.defaultNamespace);
    return { put: parsed.objects.map((object) => contentOf(object, 'directory')), problems: parsed.problems };
  }
}

/**
 * Chooses which files hold up. What removed files took away is gone whatever the others say; then changed files are tried
 * together, and those with errors are left out until the rest has none.
 */
function decide(
  state: ConfigState,
  files: ReadonlyMap<string, Candidate>,
  rules: ConfigRules,
): Decision<readonly FileStatus[]> {
  const gone = keysOfFiles(state, (file) => !files.has(file));
  const base = without(state, gone);
  const rejected = new Map<string, readonly Problem[]>();
  for (const [file, { problems }] of files) if (hasErrors(problems)) rejected.set(file, problems);
  for (;;) {
    const change = changeOf(base, files, rejected);
    const changed = changedFiles(base, change);
    // Files that are not rejected are wholly described by the change, so that a resource may move between them.
    const others = without(
      base,
      keysOfFiles(base, (file) => !rejected.has(file)),
    );
    const found = ownershipProblems(others, change.put);
    if (!hasErrors(found)) {
      const differing = change.put.filter((content) => changed.has(content.source.file));
      found.push(...problemsOfChange(rules, base, change, new Set(differing.map(keyOf))));
    }
    const errors = found.filter(({ severity }) => severity === 'error');
    if (errors.length === 0 || changed.size === 0) {
      const put = new Set(change.put.map(keyOf));
      const remove = [...change.remove, ...gone.filter((key) => !put.has(key))];
      return { change: { put: change.put, remove }, result: statusesOf(files, rejected, found) };
    }
    const faulty = [...changed].filter((file) => errors.some((problem) => problem.file === file));
    // Errors in what did not change come from what did, without saying from which file: all of them wait.
    for (const file of faulty.length > 0 ? faulty : changed) {
      const own = errors.filter((problem) => problem.file === file);
      rejected.set(file, [...(files.get(file)?.problems ?? []), ...(own.length > 0 ? own : errors)]);
    }
  }
}

/** Accepted files put their resources, and lose those that they no longer have. */
function changeOf(
  base: ConfigState,
  files: ReadonlyMap<string, Candidate>,
  rejected: ReadonlyMap<string, unknown>,
): StoreChange {
  const put = [...files].flatMap(([file, candidate]) => (rejected.has(file) ? [] : candidate.put));
  const kept = new Set(put.map(keyOf));
  return { put, remove: keysOfFiles(base, (file) => !rejected.has(file)).filter((key) => !kept.has(key)) };
}

/** Files whose resources the change makes other than they are. */
function changedFiles(base: ConfigState, { put, remove }: StoreChange): Set<string> {
  const files = new Set<string>();
  for (const content of put) {
    const existing = base.resources.get(keyOf(content));
    if (existing === undefined || !sameContent(existing, content)) files.add(content.source.file);
  }
  for (const key of remove) files.add(base.resources.get(key)?.source.file as string);
  return files;
}

function keysOfFiles(state: ConfigState, belongs: (file: string) => boolean): ResourceKey[] {
  return [...state.resources]
    .filter(([, { origin, source }]) => origin === 'directory' && belongs(source.file))
    .map(([key]) => key);
}

function without(state: ConfigState, keys: readonly ResourceKey[]): ConfigState {
  const resources = new Map(state.resources);
  for (const key of keys) resources.delete(key);
  return { ...state, resources };
}

function statusesOf(
  files: ReadonlyMap<string, Candidate>,
  rejected: ReadonlyMap<string, readonly Problem[]>,
  found: readonly Problem[],
): FileStatus[] {
  return [...files].map(([file, { put, problems }]) => {
    const reasons = rejected.get(file);
    if (reasons !== undefined) return { file, accepted: false, problems: reasons, kinds: [] };
    const all = [...problems, ...found.filter((problem) => problem.file === file)];
    return { file, accepted: true, problems: all, kinds: put.map(({ kind }) => kind) };
  });
}

function sameFiles(a: ReadonlyMap<string, SeenFile>, b: ReadonlyMap<string, SeenFile>): boolean {
  return a.size === b.size && [...b].every(([file, seen]) => a.get(file) === seen);
}

function fileProblem(file: string, code: string, message: string): Problem {
  return { file, line: 0, column: 0, kind: '', namespace: '', name: '', path: '', severity: 'error', code, message };
}

async function listConfigFiles(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory() && CONFIG_FILE.test(entry.name) && !entry.name.startsWith('.'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
