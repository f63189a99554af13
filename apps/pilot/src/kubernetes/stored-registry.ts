// Kubernetes: the registry on disk, from which a Pilot serves that starts while the API server is away.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import type { Credential } from '@lateen/translate';
import type { Registry } from '../registry/registry-store.js';

const REGISTRY_FILE = 'cluster-registry.json';
/** Kept apart from the rest, so that whoever shows or copies the registry has no keys. */
const CREDENTIALS_FILE = 'cluster-credentials.json';
/** Rises where the form of what is kept changes: another one is not read. */
const FORMAT = 1;
/** A cluster changes all the time; what is kept may be that much older. */
const WRITE_AFTER_MS = 1_000;

type RegistryFile = Omit<Registry, 'credentials'> & { readonly format: number };
interface CredentialsFile {
  readonly format: number;
  readonly credentials: readonly Credential[];
}

export class StoredRegistry {
  #next: Registry | undefined;
  #writtenCredentials: readonly Credential[] = [];
  #timer: NodeJS.Timeout | undefined;
  #writes: Promise<void> = Promise.resolve();

  private constructor(
    private readonly directory: string,
    private readonly logger: Logger,
    /** What was kept before; undefined where nothing was, or cannot be read. */
    readonly initial: Registry | undefined,
  ) {}

  static async open(directory: string, logger: Logger): Promise<StoredRegistry> {
    const kept = await readKept<RegistryFile>(join(directory, REGISTRY_FILE), logger);
    const secrets = await readKept<CredentialsFile>(join(directory, CREDENTIALS_FILE), logger);
    if (kept === undefined) return new StoredRegistry(directory, logger, undefined);
    const { namespaces, services, workloads } = kept;
    const credentials = secrets?.credentials ?? [];
    return new StoredRegistry(directory, logger, { namespaces, services, workloads, credentials });
  }

  /** Writes it soon: the newest of several. */
  keep(registry: Registry): void {
    this.#next = registry;
    this.#timer ??= setTimeout(() => void this.#flush(), WRITE_AFTER_MS).unref();
  }

  /** Resolves when everything is written. */
  async close(): Promise<void> {
    await this.#flush();
  }

  #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const registry = this.#next;
    this.#next = undefined;
    if (registry !== undefined) this.#writes = this.#writes.then(() => this.#write(registry));
    return this.#writes;
  }

  async #write({ credentials, ...rest }: Registry): Promise<void> {
    try {
      // Those with a fault are no value to come back to.
      const whole = credentials.filter(({ fault }) => fault === undefined);
      const isKnown =
        whole.length === this.#writtenCredentials.length &&
        whole.every((each, index) => each === this.#writtenCredentials[index]);
      if (!isKnown) {
        const text = JSON.stringify({ format: FORMAT, credentials: whole });
        await writeFileAtomic(join(this.directory, CREDENTIALS_FILE), text, { mode: 0o600 });
        this.#writtenCredentials = whole;
      }
      await writeFileAtomic(join(this.directory, REGISTRY_FILE), JSON.stringify({ format: FORMAT, ...rest }));
    } catch (error) {
      this.logger.error(
        { reason: (error as Error).message, directory: this.directory },
        'the registry cannot be kept for a restart; free space or fix the state directory',
      );
    }
  }
}

async function readKept<T extends { readonly format: number }>(file: string, logger: Logger): Promise<T | undefined> {
  try {
    const value = JSON.parse(await readFile(file, 'utf8')) as T | null;
    if (value?.format === FORMAT) return value;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  }
  // What does not parse could be quoted by the parser's words, so they are not logged.
  logger.warn({ file }, 'the kept registry cannot be read and is not used; waiting for the API server');
  return undefined;
}
