// Snapshot: joins registry and configuration into one immutable snapshot, once both are known.

import type { Logger } from '@lateen/telemetry';
import { buildSnapshot, type MeshSnapshot, namedCredentials } from '@lateen/translate';
import type { ConfigStore } from '../config/config-store.js';
import type { RegistrySource } from '../registry/registry-source.js';
import type { TokenKeys } from '../token-keys/token-keys.js';
import type { Registrations } from '../workload-groups/registrations.js';
import type { ChangeCounter } from './change-counter.js';

/** A snapshot of the mesh and when the change that it shows came in. */
export interface PublishedSnapshot {
  readonly mesh: MeshSnapshot;
  /** Told to proxies as version_info. */
  readonly version: string;
  readonly changedAtMs: number;
  /** Number of the newest change that it shows. */
  readonly revision: number;
}

export interface SnapshotBuilderOptions {
  readonly config: ConfigStore;
  readonly registry: Pick<RegistrySource, 'current' | 'missing' | 'follow'>;
  /** Workloads that registered themselves. */
  readonly registrations: Pick<Registrations, 'entries'>;
  /** Keys of the issuers of tokens. */
  readonly tokenKeys: Pick<TokenKeys, 'current'>;
  readonly changes: Pick<ChangeCounter, 'newest'>;
  readonly trustDomain: string;
  readonly logger: Logger;
  readonly publish: (snapshot: PublishedSnapshot) => void;
}

const VERSION_CHARACTERS = 16;

export class SnapshotBuilder {
  private published: PublishedSnapshot | undefined;
  private coveredChange = -1;
  /** What is not known yet of that which the newest configuration asks for. */
  private awaited: string | undefined;

  constructor(private readonly options: SnapshotBuilderOptions) {}

  get current(): PublishedSnapshot | undefined {
    return this.published;
  }

  /** Number of the newest change that was looked at; it may have made no difference to what is published. */
  get covered(): number {
    return this.coveredChange;
  }

  /**
   * What is missing for a first snapshot. Nothing is published before: a proxy that connects to a Pilot that has just
   * started keeps what it has, instead of being told that there is nothing.
   */
  missing(): string | undefined {
    const registry = this.options.registry.missing();
    if (registry !== undefined) return registry;
    const kinds = this.options.config.missingKinds();
    if (kinds.length > 0) return `no configuration from galley yet (${kinds.join(', ')})`;
    return this.awaited;
  }

  /** Builds and publishes, unless something is missing or nothing changed. */
  rebuild(changedAtMs: number): void {
    const { config, registry, registrations, tokenKeys, changes, trustDomain, logger, publish } = this.options;
    this.awaited = undefined;
    const missing = this.missing();
    if (missing !== undefined || registry.current === undefined) {
      logger.info({ reason: missing }, 'no snapshot yet');
      return;
    }
    const objects = config.objects();
    const mesh = buildSnapshot({
      meshConfig: { trustDomain, ...config.meshConfig() },
      ...registry.current,
      tokenKeys: tokenKeys.current,
      configs: [...objects, ...registrations.entries(objects)],
    });
    this.awaited = registry.follow(namedCredentials(mesh));
    if (this.awaited !== undefined) {
      logger.info({ reason: this.awaited }, 'the next snapshot waits');
      return;
    }
    const revision = changes.newest;
    this.coveredChange = revision;
    if (mesh.contentHash === this.published?.mesh.contentHash) return;
    this.published = { mesh, version: mesh.contentHash.slice(0, VERSION_CHARACTERS), changedAtMs, revision };
    const { services, workloads, problems } = mesh;
    logger.info(
      {
        version: this.published.version,
        services: services.length,
        workloads: workloads.length,
        configs: [...mesh.configsByKind.values()].reduce((sum, objects) => sum + objects.length, 0),
        problems: problems.length,
      },
      'new snapshot',
    );
    publish(this.published);
  }
}
