// Kubernetes source: MeshConfig from the ConfigMap `istio`, key `mesh`. One that is not valid changes nothing.
import { type ConfigMap, Informer, type KubeClient, resourceTypes } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import type { ConfigRules } from '../rules.js';
import type { FileStatus } from '../sources/config-directory.js';
import { DEFAULTS, enforceMeshConfig } from '../sources/mesh-config-file.js';
import { hasErrors } from '../sources/ownership.js';
import type { ConfigStore } from '../store/config-store.js';
import { sourceName } from './read-resource.js';
import { withRevision } from './revision-name.js';

export interface MeshConfigMapOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly revision: string;
  readonly store: ConfigStore;
  readonly rules: ConfigRules;
  readonly onStatus: (status: FileStatus) => void;
  readonly logger: Logger;
}

const KEY = 'mesh';

export class MeshConfigMap {
  readonly #options: MeshConfigMapOptions;
  readonly #name: string;
  readonly #informer: Informer<ConfigMap>;
  #status: FileStatus | undefined;
  #enforcing: Promise<unknown> = Promise.resolve();

  constructor(options: MeshConfigMapOptions) {
    this.#options = options;
    const { client, namespace, revision, logger } = options;
    this.#name = withRevision('istio', revision);
    this.#informer = new Informer<ConfigMap>({
      client,
      type: resourceTypes.configMaps,
      namespace,
      fieldSelector: `metadata.name=${this.#name}`,
      onError: (error) => error && logger.warn({ error }, `MeshConfig: ${error.message}`),
    });
    this.#informer.subscribe(() => {
      if (this.#informer.hasSynced) this.#refresh();
    });
  }

  /** Resolves when it was read for the first time and is in force. */
  async start(): Promise<void> {
    this.#informer.start();
    await this.#informer.synced;
    this.#refresh();
    await this.#enforcing;
  }

  async stop(): Promise<void> {
    await this.#informer.stop();
    await this.#enforcing;
  }

  get status(): FileStatus | undefined {
    return this.#status;
  }

  #refresh(): void {
    const { namespace, store, rules, onStatus, logger } = this.#options;
    const file = sourceName('ConfigMap', namespace, this.#name);
    const content = this.#informer.get(namespace, this.#name)?.data?.[KEY];
    const found = content === undefined ? DEFAULTS : rules.parseMeshConfig({ name: file, content });
    const name = content === undefined ? `${file} (not there; defaults)` : file;
    this.#enforcing = this.#enforcing
      .then(() => enforceMeshConfig(store, name, found))
      .catch((error: Error) => logger.error({ error }, `MeshConfig could not be stored: ${error.message}`));
    const status = { file: name, accepted: !hasErrors(found.problems), problems: found.problems, kinds: [] };
    if (JSON.stringify(status) !== JSON.stringify(this.#status)) onStatus(status);
    this.#status = status;
  }
}
