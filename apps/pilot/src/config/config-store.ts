// Configuration: the last known objects of every kind, in memory and on disk, so that a restarted Pilot serves without
// Galley. One file a kind: temporary file, fsync, rename.

import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { writeFileAtomic } from '@lateen/identity';
import type { ConfigObject, MeshConfig } from '@lateen/istio-config';
import type { Logger } from '@lateen/telemetry';
import { type ConfigResource, ConfigResourceSchema } from '@lateen/xds-proto/lateen/config/v1/resource_pb.js';
import type { ResourceUpdate } from '@lateen/xds-stream';
import { Arrivals } from './arrivals.js';
import { CONFIG_TYPE_URLS, MESH_CONFIG_TYPE_URL } from './config-kinds.js';
import { toConfigObject, toMeshConfig } from './config-object.js';

interface HeldConfig {
  readonly version: string;
  readonly resource: ConfigResource;
}

interface StoredKind {
  readonly typeUrl: string;
  readonly resources: Record<string, { version: string; resource: JsonValue }>;
}

export class ConfigStore {
  /** By type URL; a kind that was neither received nor stored is absent. */
  private readonly kinds = new Map<string, Map<string, HeldConfig>>();

  /** Which versions of Galley's came with which change. */
  readonly arrivals = new Arrivals();
  private newestChange = 0;
  private writes: Promise<void> = Promise.resolve();

  private constructor(
    private readonly directory: string,
    private readonly logger: Logger,
    private readonly onChange: () => number,
  ) {}

  /**
   * Reads what was stored. A file that cannot be read is left out and logged: Galley sends that kind again.
   * @param onChange notes a change and returns its number
   */
  static async open(directory: string, logger: Logger, onChange: () => number): Promise<ConfigStore> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const store = new ConfigStore(directory, logger, onChange);
    for (const typeUrl of CONFIG_TYPE_URLS) {
      const stored = await store.read(typeUrl);
      if (stored !== undefined) store.kinds.set(typeUrl, stored);
    }
    return store;
  }

  /** Kinds of which nothing is known yet; empty once there is a complete configuration. */
  missingKinds(): readonly string[] {
    return CONFIG_TYPE_URLS.filter((typeUrl) => !this.kinds.has(typeUrl));
  }

  /** What to tell Galley on connecting, so that only differences travel. */
  heldVersions(typeUrl: string): ReadonlyMap<string, string> {
    return new Map([...(this.kinds.get(typeUrl) ?? [])].map(([name, { version }]) => [name, version]));
  }

  /** Takes an update of one kind and stores it. */
  async apply({
    typeUrl,
    version: galleyVersion,
    upserts,
    removed,
    rejected,
  }: ResourceUpdate<ConfigResource>): Promise<void> {
    const before = this.kinds.get(typeUrl);
    const next = new Map(before);
    for (const name of removed) next.delete(name);
    for (const { name, version, value } of upserts) next.set(name, { version, resource: value });
    this.kinds.set(typeUrl, next);
    const changed = before === undefined || upserts.length + removed.length > 0;
    if (changed) this.newestChange = this.onChange();
    // With something refused the version is not here.
    if (rejected.length === 0) this.arrivals.note(typeUrl, galleyVersion, this.newestChange);
    if (!changed) return;
    this.logger.info({ typeUrl, changed: upserts.map(({ name }) => name), removed }, 'configuration received');
    const content = this.encode(typeUrl, next);
    // One after the other, so that the file ends up with the newest.
    const write = this.writes.then(() => writeFileAtomic(this.fileOf(typeUrl), content));
    this.writes = write.catch(() => undefined); // logged below
    try {
      await write;
    } catch (error) {
      // The configuration is good and is served; only a restart without Galley would miss it.
      this.logger.error({ error, typeUrl }, 'configuration could not be stored; free space or fix the state directory');
    }
  }

  /** @param name NAMESPACE/NAME */
  holds(typeUrl: string, name: string): boolean {
    return this.kinds.get(typeUrl)?.has(name) === true;
  }

  objects(): readonly ConfigObject[] {
    const objects: ConfigObject[] = [];
    for (const held of this.kinds.values()) {
      for (const { resource } of held.values()) {
        const object = toConfigObject(resource);
        if (object !== undefined) objects.push(object);
      }
    }
    return objects;
  }

  meshConfig(): MeshConfig {
    const [first] = this.kinds.get(MESH_CONFIG_TYPE_URL)?.values() ?? [];
    return first === undefined ? {} : toMeshConfig(first.resource);
  }

  /** Resolves when everything that was taken is stored, or was told to have failed. */
  flushed(): Promise<void> {
    return this.writes;
  }

  private fileOf(typeUrl: string): string {
    return join(this.directory, `${typeUrl.replaceAll('/', '_')}.json`);
  }

  private encode(typeUrl: string, held: ReadonlyMap<string, HeldConfig>): string {
    const resources: StoredKind['resources'] = {};
    for (const [name, { version, resource }] of held) {
      resources[name] = { version, resource: toJson(ConfigResourceSchema, resource) };
    }
    const stored: StoredKind = { typeUrl, resources };
    return `${JSON.stringify(stored, undefined, 1)}\n`;
  }

  private async read(typeUrl: string): Promise<Map<string, HeldConfig> | undefined> {
    const file = this.fileOf(typeUrl);
    try {
      const stored = JSON.parse(await readFile(file, 'utf8')) as StoredKind;
      const held = new Map<string, HeldConfig>();
      for (const [name, { version, resource }] of Object.entries(stored.resources)) {
        held.set(name, { version, resource: fromJson(ConfigResourceSchema, resource) });
      }
      return held;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      this.logger.warn(
        { file, reason: (error as Error).message },
        'stored configuration is not used; waiting for Galley',
      );
      return undefined;
    }
  }
}
