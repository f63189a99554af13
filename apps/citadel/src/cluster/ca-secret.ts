// Cluster: an intermediate of somebody else's in the Secret `cacerts`, as Istio has it; followed by a watch.

import { PLUGGED_IN_FILE, type PluggedInFiles } from '@lateen/identity/authority';
import { Informer, type KubeClient, resourceTypes, type Secret } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import type { PluggedInSource } from '../authority/plugged-in-authority.js';

export const CA_SECRET = 'cacerts';

export class CaSecret implements PluggedInSource {
  readonly name: string;
  readonly #informer: Informer<Secret>;

  constructor(
    client: KubeClient,
    private readonly namespace: string,
    logger: Logger,
  ) {
    this.name = `Secret ${namespace}/${CA_SECRET}`;
    this.#informer = new Informer({
      client,
      type: resourceTypes.secrets,
      namespace,
      fieldSelector: `metadata.name=${CA_SECRET}`,
      onError: (error) => {
        if (error !== undefined) logger.warn({ reason: error.message }, `${this.name} cannot be followed`);
      },
    });
  }

  /** Resolves when it is known whether the Secret is there. */
  async start(): Promise<void> {
    await this.#informer.start().synced;
  }

  get isThere(): boolean {
    return this.#secret !== undefined;
  }

  async stamp(): Promise<string> {
    return this.#secret?.metadata.resourceVersion ?? '-';
  }

  async read(): Promise<PluggedInFiles> {
    const { data = {} } = this.#secret ?? {};
    if (this.#secret === undefined) throw new Error('it was deleted');
    const entries = Object.entries(PLUGGED_IN_FILE).map(([key, file]) => {
      // A root may have signed the intermediate itself.
      if (data[file] === undefined && file !== PLUGGED_IN_FILE.certChain) throw new Error(`${file} is missing`);
      return [key, Buffer.from(data[file] ?? '', 'base64').toString('utf8')];
    });
    return Object.fromEntries(entries) as PluggedInFiles;
  }

  /** Everybody gets it by ConfigMaps. */
  async publish(): Promise<void> {}

  stop(): Promise<void> {
    return this.#informer.stop();
  }

  get #secret(): Secret | undefined {
    return this.#informer.get(this.namespace, CA_SECRET);
  }
}
