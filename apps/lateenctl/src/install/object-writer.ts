// Installation: objects of any kind into the cluster, by server-side apply, and out of it.

import { type KubernetesObject, objectName } from '@lateen/installation';
import { isNotFound, type KubeClient, type KubeObject, type ResourceType } from '@lateen/kubernetes';
import { CliError } from '../output/cli-error.js';

/** Who owns the fields that we write. */
export const FIELD_MANAGER = 'lateenctl';

export type Applied = 'created' | 'configured' | 'unchanged';

/** Writes and removes objects; asks the API server once for what each of its API versions serves. */
export class ObjectWriter {
  readonly #served = new Map<string, Promise<ReadonlyMap<string, ResourceType>>>();

  constructor(readonly client: KubeClient) {}

  /** How the API server calls the kind in paths; undefined where it does not serve it. */
  async typeOf({ apiVersion, kind }: Pick<KubernetesObject, 'apiVersion' | 'kind'>): Promise<ResourceType | undefined> {
    let served = this.#served.get(apiVersion);
    if (served === undefined) {
      served = this.#discover(apiVersion);
      this.#served.set(apiVersion, served);
    }
    const found = (await served).get(kind);
    // A definition that has just been applied brings kinds that were not there a moment ago.
    if (found === undefined) this.#served.delete(apiVersion);
    return found;
  }

  async #discover(apiVersion: string): Promise<ReadonlyMap<string, ResourceType>> {
    const [version = '', group = ''] = apiVersion.split('/').reverse();
    const resources = await this.client.discover(group, version);
    return new Map(
      resources.map(({ name, kind, namespaced }) => [kind, { group, version, kind, plural: name, namespaced }]),
    );
  }

  /** What is there; undefined where nothing is. */
  async read(object: KubernetesObject): Promise<KubeObject | undefined> {
    const type = await this.typeOf(object);
    if (type === undefined) return undefined;
    try {
      return await this.client.get(type, object.metadata);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** What would be there after an apply. */
  async preview(object: KubernetesObject): Promise<KubeObject> {
    return this.#apply(object, true);
  }

  async apply(object: KubernetesObject): Promise<Applied> {
    const before = await this.read(object);
    const after = await this.#apply(object, false);
    if (before === undefined) return 'created';
    return isSame(before, after) ? 'unchanged' : 'configured';
  }

  async #apply(object: KubernetesObject, dryRun: boolean): Promise<KubeObject> {
    const type = await this.typeOf(object);
    if (type === undefined) {
      throw new CliError(`${objectName(object)}: the API server does not serve ${object.kind} of ${object.apiVersion}`);
    }
    const apply = await this.#withLiveFailurePolicy(object);
    return this.client.patch(type, object.metadata, { apply, force: true }, { fieldManager: FIELD_MANAGER, dryRun });
  }

  /**
   * Galley makes its validator strict once it can answer (failurePolicy: Fail). Applying the manifest again must not make
   * it lax for a while.
   */
  async #withLiveFailurePolicy(object: KubernetesObject): Promise<KubernetesObject> {
    if (object.kind !== 'ValidatingWebhookConfiguration') return object;
    const live = (await this.read(object)) as { webhooks?: readonly Webhook[] } | undefined;
    if (live === undefined) return object;
    const policies = new Map(live.webhooks?.map(({ name, failurePolicy }) => [name, failurePolicy]));
    const webhooks = (object.webhooks as readonly Webhook[]).map((webhook) => ({
      ...webhook,
      failurePolicy: policies.get(webhook.name) ?? webhook.failurePolicy,
    }));
    return { ...object, webhooks };
  }

  /** @returns whether there was something to remove */
  async remove(object: Pick<KubernetesObject, 'apiVersion' | 'kind' | 'metadata'>): Promise<boolean> {
    const type = await this.typeOf(object);
    if (type === undefined) return false;
    try {
      await this.client.delete(type, object.metadata, { propagationPolicy: 'Background' });
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  /** Objects of a kind by label, with what they are. */
  async list(
    kind: Pick<KubernetesObject, 'apiVersion' | 'kind'>,
    labelSelector: string,
  ): Promise<readonly KubernetesObject[]> {
    const type = await this.typeOf(kind);
    if (type === undefined) return [];
    const { items } = await this.client.listAll(type, { labelSelector });
    return items.map((item) => ({ ...item, apiVersion: kind.apiVersion, kind: kind.kind }) as KubernetesObject);
  }
}

interface Webhook {
  readonly name: string;
  readonly failurePolicy?: string;
}

/** Whether what is wanted of an object is as it was, whoever says so. */
export function isSame(before: object, after: object): boolean {
  const text = (object: object) => {
    const { metadata, status: _status, ...rest } = object as { metadata: Record<string, unknown>; status?: unknown };
    const { managedFields: _managed, resourceVersion: _version, generation: _generation, ...kept } = metadata;
    return JSON.stringify({ ...rest, metadata: kept });
  };
  return text(before) === text(after);
}
