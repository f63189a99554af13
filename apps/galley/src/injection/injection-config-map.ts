// Injection: templates and values from the ConfigMap `istio-sidecar-injector`. One that is wrong changes nothing; without one the
// defaults count.
import { type InjectionConfig, InjectionError, loadInjectionConfig } from '@lateen/injection';
import { type ConfigMap, Informer, type KubeClient, resourceTypes } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import { withRevision } from '../kubernetes/revision-name.js';

export interface InjectionConfigMapOptions {
  readonly client: KubeClient;
  /** Of the control plane. */
  readonly namespace: string;
  readonly revision: string;
  readonly logger: Logger;
}

export interface InjectionConfigStatus {
  readonly configMap: string;
  /** Whether it is there; without it the defaults count. */
  readonly isThere: boolean;
  /** Why the last good one counts instead. */
  readonly problems: readonly string[];
}

export class InjectionConfigMap {
  readonly #options: InjectionConfigMapOptions;
  readonly #name: string;
  readonly #informer: Informer<ConfigMap>;
  #current: InjectionConfig = loadInjectionConfig({});
  #status: InjectionConfigStatus;

  constructor(options: InjectionConfigMapOptions) {
    this.#options = options;
    const { client, namespace, revision, logger } = options;
    this.#name = withRevision('istio-sidecar-injector', revision);
    this.#status = { configMap: this.#name, isThere: false, problems: [] };
    this.#informer = new Informer<ConfigMap>({
      client,
      type: resourceTypes.configMaps,
      namespace,
      fieldSelector: `metadata.name=${this.#name}`,
      onError: (error) => error && logger.warn({ error }, `injection: ${error.message}`),
    });
    this.#informer.subscribe(() => {
      if (this.#informer.hasSynced) this.#refresh();
    });
  }

  /** Resolves when it was read for the first time. */
  async start(): Promise<void> {
    this.#informer.start();
    await this.#informer.synced;
    this.#refresh();
  }

  stop(): Promise<void> {
    return this.#informer.stop();
  }

  /** The last good one. */
  get current(): InjectionConfig {
    return this.#current;
  }

  get status(): InjectionConfigStatus {
    return this.#status;
  }

  #refresh(): void {
    const { namespace, logger } = this.#options;
    const data = this.#informer.get(namespace, this.#name)?.data;
    const isThere = data !== undefined;
    try {
      this.#current = loadInjectionConfig({ config: data?.config, values: data?.values });
      this.#status = { configMap: this.#name, isThere, problems: [] };
      logger.info({ configMap: this.#name, isThere }, 'the configuration of injection is in force');
    } catch (error) {
      if (!(error instanceof InjectionError)) throw error;
      this.#status = { configMap: this.#name, isThere, problems: error.problems };
      const text = `ConfigMap ${namespace}/${this.#name} is not accepted; what counted before stays in force`;
      logger.error({ configMap: this.#name, problems: error.problems }, text);
    }
  }
}
