// Sources: resources that come from files. Reads each file when it is first needed and whenever it changes; a file that is
// wrong leaves what it said before in effect.

import { FileWatch } from '@lateen/identity/host-files';
import { shortTypeName, TYPE_URL, type XdsTypeUrl } from '@lateen/xds-proto';
import type { SubscriptionStatus } from '@lateen/xds-stream';
import type { ConfigStore } from '../store/config-store.js';
import type { ResourceChange } from '../store/resource-state.js';
import { readDiscoveryFile } from './discovery-file.js';
import { type FileSource, type ResourceSource, sourceKey } from './resource-source.js';

export interface FileSourcesOptions {
  readonly store: Pick<ConfigStore, 'update' | 'accepted' | 'noteRefused'>;
  /** The files of `lds_config` and `cds_config`, whose resources are all taken. */
  readonly listeners: FileSource | undefined;
  readonly clusters: FileSource | undefined;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
}

/** One file that is followed for one type. */
interface FollowedFile {
  readonly typeUrl: XdsTypeUrl;
  readonly source: FileSource;
  /** Undefined where everything in the file is wanted. */
  names: ReadonlySet<string> | undefined;
  readonly watch: FileWatch;
  readonly status: SubscriptionStatus;
  /** What it gave last, for a name that is wanted later. */
  given: ReadonlySet<string>;
}

export class FileSources {
  readonly #files = new Map<string, FollowedFile>();

  constructor(private readonly options: FileSourcesOptions) {}

  /** Reads the files of listeners and clusters. */
  start(): void {
    const { listeners, clusters } = this.options;
    if (clusters !== undefined) this.#follow(TYPE_URL.cluster, clusters, undefined);
    if (listeners !== undefined) this.#follow(TYPE_URL.listener, listeners, undefined);
  }

  /** To be called by the store: the names of a type that it needs now, with their sources. */
  setNeeded(typeUrl: XdsTypeUrl, needed: ReadonlyMap<string, ResourceSource>): void {
    const wanted = new Map<string, { source: FileSource; names: Set<string> }>();
    for (const [name, source] of needed) {
      if (source === 'ads') continue;
      const key = fileKey(typeUrl, source);
      const entry = wanted.get(key) ?? { source, names: new Set() };
      entry.names.add(name);
      wanted.set(key, entry);
    }
    for (const [key, file] of this.#files) {
      if (file.typeUrl !== typeUrl || file.names === undefined || wanted.has(key)) continue;
      file.watch.close();
      this.#files.delete(key);
    }
    for (const [key, { source, names }] of wanted) {
      const file = this.#files.get(key);
      if (file === undefined) this.#follow(typeUrl, source, names);
      else {
        file.names = names;
        if ([...names].some((name) => !file.given.has(name))) this.#read(file);
      }
    }
  }

  get statuses(): SubscriptionStatus[] {
    return [...this.#files.values()].map(({ status }) => status);
  }

  /** Why listeners or clusters have not come yet; undefined when each of their files was taken once. */
  get missing(): string | undefined {
    for (const { names, status } of this.#files.values()) {
      if (names === undefined && status.accepted === 0) return status.lastError;
    }
    return undefined;
  }

  close(): void {
    for (const { watch } of this.#files.values()) watch.close();
    this.#files.clear();
  }

  #follow(typeUrl: XdsTypeUrl, source: FileSource, names: ReadonlySet<string> | undefined): void {
    const watch = new FileWatch({
      files: [source.path],
      directory: source.watchedDirectory,
      onChange: () => this.#read(file),
    });
    const status = { typeUrl, version: '', accepted: 0, rejected: 0, lastError: undefined, lastResponseMs: 0 };
    const file: FollowedFile = { typeUrl, source, names, watch, status, given: new Set() };
    this.#files.set(fileKey(typeUrl, source), file);
    this.#read(file);
  }

  #read(file: FollowedFile): void {
    const { store } = this.options;
    const { typeUrl, source, names, status } = file;
    const { version, entries, problems } = readDiscoveryFile(source.path, typeUrl);
    status.lastResponseMs = Date.now();
    const broken = problems.some(({ resourceName }) => resourceName === '');
    const faults = problems.map(({ resourceName, text }) => ({ resourceName, path: '', message: text }));
    if (broken && entries.length === 0) {
      store.noteRefused(typeUrl, faults);
      this.#refused(
        file,
        problems.map(({ text }) => text),
      );
      return;
    }
    file.given = new Set(entries.map(({ name }) => name));
    const upserts = (
      names === undefined ? entries : entries.filter(({ name }) => names.has(name))
    ) as ResourceChange['upserts'];
    // A list of listeners or clusters is complete; one with a nameless fault may hold anything, so nothing is removed.
    const listed = new Set([...file.given, ...problems.map(({ resourceName }) => resourceName)]);
    store.noteRefused(typeUrl, faults, names === undefined ? listed : undefined);
    const removed =
      names === undefined && !broken ? [...store.accepted[typeUrl].keys()].filter((name) => !listed.has(name)) : [];
    void store.update({ typeUrl, upserts, removed }).then((found) => {
      const texts = [
        ...problems.map(({ text }) => text),
        ...found.map(
          ({ resourceName, path, message }) =>
            `${source.path} ${JSON.stringify(resourceName)}${path === '' ? '' : ` ${path}`}: ${message}`,
        ),
      ];
      if (texts.length > 0) this.#refused(file, texts);
      else {
        status.accepted++;
        status.version = version;
        status.lastError = undefined;
        this.options.log('info', 'configuration taken from a file', {
          type: shortTypeName(typeUrl),
          file: source.path,
        });
      }
    });
  }

  #refused({ typeUrl, source, status }: FollowedFile, problems: readonly string[]): void {
    status.rejected++;
    status.lastError = problems.join('\n');
    this.options.log('error', 'a configuration file is refused; what it said before stays', {
      type: shortTypeName(typeUrl),
      file: source.path,
      problems,
    });
  }
}

function fileKey(typeUrl: XdsTypeUrl, source: FileSource): string {
  return `${typeUrl}\n${sourceKey(source)}`;
}
