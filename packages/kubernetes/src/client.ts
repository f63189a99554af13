// Calls: get, list, create, update, patch and delete of any kind, typed by its resource.
import type { IncomingMessage } from 'node:http';
import type { ApiRequest, ClusterAccess } from './access/cluster-access.js';
import { ApiError, isGone } from './api-error.js';
import type { KubeObject, ObjectList } from './objects.js';
import { apiVersionOf, type ObjectRef, objectRef, type ResourceType, resourcePath } from './resource-type.js';

export interface ListOptions {
  /** All of them without it. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Objects a page. */
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
  readonly signal?: AbortSignal;
}

export interface WriteOptions {
  /** Who owns the fields that are written. */
  readonly fieldManager?: string;
  /** Everything is checked and nothing is kept. */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * `merge`: an RFC 7386 merge. `json`: RFC 6902 operations. `apply`: server-side apply, which needs a `fieldManager`;
 * `force` takes fields from other managers.
 */
export type Patch =
  | { readonly merge: object }
  | { readonly json: readonly object[] }
  | { readonly apply: object; readonly force?: boolean };

/** A resource that the API server serves. */
export interface ApiResource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

const PAGE = 500;

export class KubeClient {
  constructor(readonly access: ClusterAccess) {}

  /** @throws ApiError; for all others of this class too */
  async get<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef, signal?: AbortSignal): Promise<T> {
    return this.json(`get ${objectRef(type, ref)}`, { method: 'GET', path: resourcePath(type, ref), signal });
  }

  /** One page. */
  async list<T extends KubeObject>(type: ResourceType<T>, options: ListOptions = {}): Promise<ObjectList<T>> {
    const { namespace, signal, ...query } = options;
    const path = resourcePath(type, { namespace });
    const list = await this.json<ObjectList<T>>(`list ${type.kind}`, { method: 'GET', path, query, signal });
    // Items of a list do not say what they are.
    const apiVersion = apiVersionOf(type);
    const items = (list.items ?? []).map((item) => ({ apiVersion, kind: type.kind, ...item }));
    return { metadata: list.metadata, items };
  }

  /** All pages, as they were at one moment: a list whose continuation has expired is read once more in one piece. */
  async listAll<T extends KubeObject>(type: ResourceType<T>, options: ListOptions = {}): Promise<ObjectList<T>> {
    const { limit = PAGE } = options;
    let page = await this.list(type, { ...options, limit });
    const items = [...page.items];
    while (page.metadata.continue) {
      try {
        page = await this.list(type, { ...options, limit, continue: page.metadata.continue });
      } catch (error) {
        if (!isGone(error)) throw error;
        return this.list(type, { ...options, limit: undefined, continue: undefined });
      }
      items.push(...page.items);
    }
    return { metadata: page.metadata, items };
  }

  async create<T extends KubeObject>(type: ResourceType<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace, name } = object.metadata;
    const path = resourcePath(type, { namespace });
    return this.#write(`create ${objectRef(type, { namespace, name })}`, 'POST', path, typed(type, object), options);
  }

  /** Replaces the object; refused as a conflict if it has changed since its `resourceVersion`. */
  async update<T extends KubeObject>(
    type: ResourceType<T>,
    object: T,
    options: WriteOptions & { readonly subresource?: string } = {},
  ): Promise<T> {
    const { namespace, name } = object.metadata;
    const path = resourcePath(type, { namespace, name }, options.subresource);
    return this.#write(`update ${objectRef(type, { namespace, name })}`, 'PUT', path, typed(type, object), options);
  }

  /** @param options.subresource `status` for the status alone */
  async patch<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    patch: Patch,
    options: WriteOptions & { readonly subresource?: string } = {},
  ): Promise<T> {
    const what = `patch ${objectRef(type, ref)}`;
    const path = resourcePath(type, ref, options.subresource);
    if ('apply' in patch) {
      const body = typed(type, patch.apply as T);
      return this.#write(what, 'PATCH', path, body, options, 'application/apply-patch+yaml', patch.force);
    }
    if ('json' in patch) return this.#write(what, 'PATCH', path, patch.json, options, 'application/json-patch+json');
    return this.#write(what, 'PATCH', path, patch.merge, options, 'application/merge-patch+json');
  }

  async delete(
    type: ResourceType,
    ref: ObjectRef,
    options: WriteOptions & {
      /** Only this very object, not one of the same name. */
      readonly uid?: string;
      /** Only if it has not changed since. */
      readonly resourceVersion?: string;
      readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
    } = {},
  ): Promise<void> {
    const { uid, resourceVersion, propagationPolicy, dryRun, signal } = options;
    const preconditions = {
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
    };
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      ...(Object.keys(preconditions).length > 0 && { preconditions }),
      ...(propagationPolicy !== undefined && { propagationPolicy }),
      ...(dryRun && { dryRun: ['All'] }),
    };
    await this.json(`delete ${objectRef(type, ref)}`, {
      method: 'DELETE',
      path: resourcePath(type, ref),
      body,
      signal,
    });
  }

  /** What is served of a group's version; none of it where the version is not. */
  async discover(group: string, version: string): Promise<readonly ApiResource[]> {
    const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
    try {
      const { resources } = await this.json<{ resources?: readonly ApiResource[] }>(`discover ${group}/${version}`, {
        method: 'GET',
        path,
      });
      return (resources ?? []).filter(({ name }) => !name.includes('/'));
    } catch (error) {
      if (error instanceof ApiError && error.code === 404) return [];
      throw error;
    }
  }

  /** Any call whose answer is JSON. @param what for the error's message */
  async json<T>(what: string, request: ApiRequest): Promise<T> {
    const response = await this.open(what, request);
    const text = await readText(what, response);
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      throw new Error(`${what}: the answer is not JSON: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Any call; resolves with an answer that says yes, its body still to be read. */
  async open(what: string, request: ApiRequest): Promise<IncomingMessage> {
    const response = await this.access.open(request).catch((error: Error) => {
      if (request.signal?.aborted) throw error;
      throw new Error(`${what}: ${error.message}`, { cause: error });
    });
    const code = response.statusCode ?? 0;
    if (code >= 200 && code < 300) return response;
    throw ApiError.fromResponse(what, code, await readText(what, response), response.headers['retry-after']);
  }

  #write<T>(
    what: string,
    method: 'POST' | 'PUT' | 'PATCH',
    path: string,
    body: unknown,
    { fieldManager, dryRun, signal }: WriteOptions,
    contentType?: string,
    force?: boolean,
  ): Promise<T> {
    const query = { fieldManager, dryRun: dryRun ? 'All' : undefined, force };
    return this.json(what, { method, path, query, body, contentType, signal });
  }
}

function typed<T extends KubeObject>(type: ResourceType<T>, object: T): T {
  return { apiVersion: apiVersionOf(type), kind: type.kind, ...object };
}

async function readText(what: string, response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer);
  } catch (error) {
    throw new Error(`${what}: the answer broke off: ${(error as Error).message}`, { cause: error });
  }
  return Buffer.concat(chunks).toString('utf8');
}
