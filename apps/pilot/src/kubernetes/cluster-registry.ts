// Kubernetes: the registry of a cluster: what informers hold, joined when somebody asks, and kept on disk for a restart without
// an API server.

import { isDeepStrictEqual } from 'node:util';
import { Informer, type KubeClient, type KubeObject, type ResourceType, resourceTypes } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import type { CredentialName, RegistrySource } from '../registry/registry-source.js';
import type { Registry } from '../registry/registry-store.js';
import { RegistryBuilder } from './build-registry.js';
import { keepEndpointSlice, keepNamespace, keepNode, keepPod, keepService } from './cluster-objects.js';
import { type SecretStanding, SecretWatches } from './secret-watches.js';
import { StoredRegistry } from './stored-registry.js';

export interface ClusterRegistryOptions {
  readonly client: KubeClient;
  /** Where the last registry is kept. */
  readonly directory: string;
  readonly logger: Logger;
  /** The registry is not what it was. */
  readonly onChange: () => void;
}

export class ClusterRegistry implements RegistrySource {
  readonly #builder = new RegistryBuilder();
  readonly #secrets: SecretWatches;
  readonly #informers;
  #registry: Registry | undefined;
  #isStale = false;

  private constructor(
    private readonly options: ClusterRegistryOptions,
    private readonly stored: StoredRegistry,
  ) {
    this.#registry = stored.initial;
    this.#secrets = new SecretWatches({
      client: options.client,
      known: stored.initial?.credentials ?? [],
      logger: options.logger,
      onChange: () => this.#changed(),
    });
    this.#informers = {
      namespaces: this.#informer(resourceTypes.namespaces, keepNamespace),
      nodes: this.#informer(resourceTypes.nodes, keepNode),
      services: this.#informer(resourceTypes.services, keepService),
      endpointSlices: this.#informer(resourceTypes.endpointSlices, keepEndpointSlice),
      pods: this.#informer(resourceTypes.pods, keepPod),
    };
  }

  /** Reads what was kept, and begins to ask the API server. */
  static async open(options: ClusterRegistryOptions): Promise<ClusterRegistry> {
    const registry = new ClusterRegistry(options, await StoredRegistry.open(options.directory, options.logger));
    for (const informer of registry.#all) {
      informer.start();
      void informer.synced.then(() => registry.#changed());
    }
    return registry;
  }

  /** The kept one until everything has been listed once, with what is known of Secrets. */
  get current(): Registry | undefined {
    if (!this.#isStale) return this.#registry;
    this.#isStale = false;
    if (this.isSynced) {
      this.#registry = this.#build();
      this.stored.keep(this.#registry);
    } else if (this.#registry !== undefined) {
      this.#registry = { ...this.#registry, credentials: this.#secrets.credentials() };
    }
    return this.#registry;
  }

  /** What was asked for last: nothing is joined for it. */
  get latest(): Registry | undefined {
    return this.#registry;
  }

  /** Everything has been listed once. */
  get isSynced(): boolean {
    return this.#all.every(({ hasSynced }) => hasSynced);
  }

  missing(): string | undefined {
    if (this.current !== undefined) return undefined;
    const waiting = Object.entries(this.#informers).flatMap(([what, { hasSynced, lastError }]) =>
      hasSynced ? [] : [lastError === undefined ? what : `${what}: ${lastError.message}`],
    );
    return `the API server has not listed everything yet (${waiting.join('; ')})`;
  }

  follow(names: readonly CredentialName[]): string | undefined {
    return this.#secrets.follow(names);
  }

  /** How each Secret that is asked for stands. */
  secrets(): readonly SecretStanding[] {
    return this.#secrets.standings();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all.map((informer) => informer.stop()), this.#secrets.close()]);
    await this.stored.close();
  }

  get #all(): readonly Informer<KubeObject>[] {
    return Object.values(this.#informers) as unknown as Informer<KubeObject>[];
  }

  #informer<T extends KubeObject>(type: ResourceType<T>, keep: (object: T) => T): Informer<T> {
    const { client, logger } = this.options;
    const informer = new Informer({
      client,
      type,
      keep,
      onError: (error) => {
        if (error === undefined) logger.info({ kind: type.kind }, 'the API server answers again');
        else
          logger.warn(
            { kind: type.kind, reason: error.message },
            'the API server does not answer; keeping what is known',
          );
      },
    });
    informer.subscribe((changes) => {
      if (changes.some(({ object, before }) => before === undefined || !isSameContent(before, object))) this.#changed();
    });
    return informer;
  }

  #changed(): void {
    this.#isStale = true;
    this.options.onChange();
  }

  #build(): Registry {
    const { namespaces, nodes, services, endpointSlices, pods } = this.#informers;
    return {
      ...this.#builder.build({
        namespaces: namespaces.objects(),
        nodes: nodes.objects(),
        services: services.objects(),
        endpointSlices: endpointSlices.objects(),
        pods: pods.objects(),
      }),
      credentials: this.#secrets.credentials(),
    };
  }
}

/** Versions rise with everything about an object, also with what is not kept of it. */
function isSameContent(before: KubeObject, object: KubeObject): boolean {
  const content = ({ metadata, ...rest }: KubeObject) => [{ ...metadata, resourceVersion: '' }, rest];
  return isDeepStrictEqual(content(before), content(object));
}
