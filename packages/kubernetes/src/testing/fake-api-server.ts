// For tests: an HTTP server that plays the Kubernetes API's protocol: lists in pages, watches, versions, conflicts, compaction.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { sendRequest } from '../access/send-request.js';
import { KubeClient } from '../client.js';
import type { KubeObject } from '../objects.js';
import { type ResourceType, resourceTypes } from '../resource-type.js';
import { ObjectStore, type StoredObject, type StoreEvent } from './object-store.js';
import { jsonPatch, mergePatch } from './patches.js';
import { matchesSelectors, type Selectors } from './selectors.js';

interface Target {
  readonly type: ResourceType;
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

interface OpenWatch {
  readonly target: Target;
  readonly selectors: Selectors;
  readonly response: ServerResponse;
}

/** Answers instead of the server: true when it has, or will. */
export type Interception = (request: IncomingMessage, response: ServerResponse, url: URL) => boolean;

export class FakeApiServer {
  readonly store = new ObjectStore();
  readonly #types: ResourceType[] = [];
  readonly #watches = new Set<OpenWatch>();
  readonly #server: Server;
  #port = 0;
  /** Method, path and query of each request so far. */
  readonly requests: string[] = [];
  /** Asked first about each request. */
  intercept: Interception | undefined;

  private constructor() {
    this.#server = createServer((request, response) => void this.#handle(request, response));
    this.store.subscribe((event) => {
      for (const one of this.#watches) sendEvent(one, event);
    });
    for (const type of Object.values(resourceTypes)) this.serve(type);
  }

  static async start(port = 0): Promise<FakeApiServer> {
    const fake = new FakeApiServer();
    await fake.listen(port);
    return fake;
  }

  /** Stays the same while it is stopped. */
  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  /** A client of this server. */
  client(): KubeClient {
    const { url } = this;
    return new KubeClient({
      server: url,
      context: 'fake',
      namespace: 'default',
      kubeConfig: undefined as never,
      open: (request) => sendRequest(url, request, { headers: {} }),
      close: () => undefined,
    });
  }

  /** Serves one more kind, as after its CustomResourceDefinition came. */
  serve(type: ResourceType): void {
    this.#types.push(type);
  }

  unserve(type: ResourceType): void {
    const same = (one: ResourceType) => collectionOf(one) === collectionOf(type) && one.version === type.version;
    this.#types.splice(this.#types.findIndex(same), 1);
    for (const { target, response } of [...this.#watches]) if (same(target.type)) response.destroy();
  }

  /** Stores an object as it is, past every check. */
  put<T extends KubeObject>(type: ResourceType<T>, object: T): T {
    return this.store.put(collectionOf(type), typed(type, object as never)) as never;
  }

  remove(type: ResourceType, namespace: string | undefined, name: string): void {
    const object = this.store.get(collectionOf(type), namespace, name);
    if (object !== undefined) this.store.remove(collectionOf(type), object);
  }

  get<T extends KubeObject>(type: ResourceType<T>, namespace: string | undefined, name: string): T | undefined {
    return this.store.get(collectionOf(type), namespace, name) as never;
  }

  /** Watches that are open, of a kind or of all. */
  watches(type?: ResourceType): number {
    return [...this.#watches].filter(({ target }) => type === undefined || target.type.kind === type.kind).length;
  }

  /** Tells each watch the present version. */
  bookmark(): void {
    for (const { target, response } of this.#watches) {
      const { kind } = target.type;
      const object = { kind, metadata: { resourceVersion: String(this.store.revision) } };
      response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    }
  }

  /** Breaks each watch's connection, with the first bytes of an event on it when asked. */
  breakWatches(half = ''): void {
    for (const { response } of [...this.#watches]) {
      if (half !== '') response.write(half);
      setImmediate(() => response.destroy());
    }
  }

  /** Writes a line to each watch. */
  writeToWatches(value: unknown): void {
    for (const { response } of this.#watches) response.write(`${JSON.stringify(value)}\n`);
  }

  /** Writes bytes to each watch in pieces that arrive one by one. */
  async writeInPieces(bytes: Buffer, size: number): Promise<void> {
    for (let at = 0; at < bytes.length; at += size) {
      const piece = bytes.subarray(at, at + size);
      await Promise.all(
        [...this.#watches].map(
          ({ response }) => new Promise((resolve) => response.write(piece, () => resolve(undefined))),
        ),
      );
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Resolves when what was written so far has left, and a turn of the loop later. */
  async flushed(): Promise<void> {
    await Promise.all(
      [...this.#watches].map(
        ({ response }) => new Promise((resolve) => response.write('\n', () => resolve(undefined))),
      ),
    );
    await new Promise((resolve) => setImmediate(resolve));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, 'http://fake');
    this.requests.push(`${request.method} ${url.pathname}${url.search}`);
    if (this.intercept?.(request, response, url)) return;
    const target = this.#targetOf(url.pathname);
    if (target === undefined) {
      this.#discover(url.pathname, response);
      return;
    }
    const text = await readBody(request);
    const body = text === '' ? undefined : (JSON.parse(text) as StoredObject);
    const dryRun = url.searchParams.has('dryRun');
    switch (request.method) {
      case 'GET':
        if (target.name !== undefined) this.#withObject(target, response, (object) => answer(response, 200, object));
        else if (url.searchParams.has('watch')) this.#watch(target, url, response);
        else this.#list(target, url, response);
        break;
      case 'POST':
        this.#create(target, body!, dryRun, response);
        break;
      case 'PUT':
        this.#withObject(target, response, (object) => this.#write(target, object, body!, dryRun, response));
        break;
      case 'PATCH':
        this.#patch(target, request, body!, dryRun, response);
        break;
      default:
        this.#withObject(target, response, (object) => {
          this.store.remove(target.collection, object);
          answer(response, 200, { kind: 'Status', status: 'Success' });
        });
    }
  }

  #targetOf(path: string): Target | undefined {
    const [, root, ...rest] = path.split('/').map(decodeURIComponent);
    const group = root === 'apis' ? rest.shift() : '';
    const version = rest.shift();
    // A namespace's own path looks like that of what is in it, up to what follows its name.
    const isInside = rest[0] === 'namespaces' && rest.length > 2 && rest[2] !== 'status' && rest[2] !== 'finalize';
    const namespace = isInside ? rest.splice(0, 2)[1] : undefined;
    const [plural, name, subresource] = rest;
    const type = this.#types.find((one) => one.group === group && one.version === version && one.plural === plural);
    if (type === undefined) return undefined;
    return { type, collection: collectionOf(type), namespace, name, subresource };
  }

  #discover(path: string, response: ServerResponse): void {
    const [, root, ...rest] = path.split('/');
    const [group, version] = root === 'apis' ? rest : ['', rest[0]];
    const found = this.#types.filter((type) => type.group === group && type.version === version);
    const plain = rest.length === (root === 'apis' ? 2 : 1) && found.length > 0;
    if (!plain) {
      refuse(response, 404, 'NotFound', 'the server could not find the requested resource');
      return;
    }
    const resources = found.map(({ plural, kind, namespaced }) => ({
      name: plural,
      kind,
      namespaced,
      verbs: ['list'],
    }));
    answer(response, 200, { kind: 'APIResourceList', resources });
  }

  #withObject(target: Target, response: ServerResponse, use: (object: StoredObject) => void): void {
    const object = this.store.get(target.collection, target.namespace, target.name!);
    if (object !== undefined) use(object);
    else refuse(response, 404, 'NotFound', `${target.type.plural} "${target.name}" not found`);
  }

  /** A page's token says where it goes on, and the revision that it was begun at: once that is compacted it is of no use. */
  #list(target: Target, url: URL, response: ServerResponse): void {
    const { searchParams } = url;
    const limit = Number(searchParams.get('limit') ?? 0);
    const [at, revision] = (searchParams.get('continue') ?? `0:${this.store.revision}`).split(':').map(Number);
    if (revision! < this.store.compacted) {
      refuse(response, 410, 'Expired', 'The provided continue parameter is too old');
      return;
    }
    const all = this.store.list(target.collection, selectorsOf(target, url));
    const items = limit > 0 ? all.slice(at, at! + limit) : all;
    const more = at! + items.length < all.length && limit > 0;
    const metadata = {
      resourceVersion: String(revision),
      continue: more ? `${at! + items.length}:${revision}` : undefined,
    };
    answer(response, 200, { kind: `${target.type.kind}List`, metadata, items });
  }

  #watch(target: Target, url: URL, response: ServerResponse): void {
    const since = this.store.since(Number(url.searchParams.get('resourceVersion')));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (since === undefined) {
      const object = statusOf(410, 'Expired', 'too old resource version');
      response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
      return;
    }
    const open = { target, selectors: selectorsOf(target, url), response };
    this.#watches.add(open);
    response.on('close', () => this.#watches.delete(open));
    for (const event of since) sendEvent(open, event);
  }

  #create(target: Target, object: StoredObject, dryRun: boolean, response: ServerResponse): void {
    const { namespace = object.metadata.namespace } = target;
    const named = typed(target.type, { ...object, metadata: { ...object.metadata, namespace } });
    if (this.store.get(target.collection, namespace, object.metadata.name) !== undefined) {
      refuse(response, 409, 'AlreadyExists', `${target.type.plural} "${object.metadata.name}" already exists`);
      return;
    }
    answer(response, 201, this.store.put(target.collection, named, dryRun));
  }

  #write(target: Target, before: StoredObject, after: StoredObject, dryRun: boolean, response: ServerResponse): void {
    const { resourceVersion } = after.metadata;
    if (resourceVersion !== undefined && resourceVersion !== before.metadata.resourceVersion) {
      const text = `Operation cannot be fulfilled on ${target.type.plural} "${target.name}": the object has been modified`;
      refuse(response, 409, 'Conflict', text);
      return;
    }
    // A status has a path of its own: what is written at the other one does not count.
    const isStatus = target.subresource === 'status';
    // Kubernetes' own kinds take labels with a status, custom resources do not.
    const { metadata } = target.type.group === '' ? after : before;
    const object = isStatus ? { ...before, metadata, status: after.status } : { ...after, status: before.status };
    answer(response, 200, this.store.put(target.collection, typed(target.type, object as StoredObject), dryRun));
  }

  #patch(target: Target, request: IncomingMessage, body: unknown, dryRun: boolean, response: ServerResponse): void {
    const before = this.store.get(target.collection, target.namespace, target.name!);
    const kind = request.headers['content-type'];
    if (before === undefined && kind === 'application/apply-patch+yaml') {
      this.#create(target, body as StoredObject, dryRun, response);
      return;
    }
    this.#withObject(target, response, (object) => {
      try {
        const after =
          kind === 'application/json-patch+json' ? jsonPatch(object, body as never) : mergePatch(object, body);
        this.#write(target, object, after as StoredObject, dryRun, response);
      } catch (error) {
        refuse(response, 422, 'Invalid', (error as Error).message);
      }
    });
  }
}

function collectionOf({ group, plural }: ResourceType): string {
  return `${group}/${plural}`;
}

function typed<T extends KubeObject>({ group, version, kind }: ResourceType, object: T): T {
  return { ...object, apiVersion: group === '' ? version : `${group}/${version}`, kind };
}

function selectorsOf({ namespace }: Target, { searchParams }: URL): Selectors {
  const get = (name: string) => searchParams.get(name) ?? undefined;
  return { namespace, labelSelector: get('labelSelector'), fieldSelector: get('fieldSelector') };
}

/** An object that begins to meet a watch's selectors is added there, one that no longer does is deleted. */
function sendEvent({ target, selectors, response }: OpenWatch, event: StoreEvent): void {
  if (event.collection !== target.collection) return;
  const matches = matchesSelectors(event.object, selectors) && event.type !== 'DELETED';
  const matched = event.before !== undefined && matchesSelectors(event.before, selectors);
  if (!matches && !matched) return;
  const type = !matches ? 'DELETED' : matched ? 'MODIFIED' : 'ADDED';
  response.write(`${JSON.stringify({ type, object: typed(target.type, event.object) })}\n`);
}

function statusOf(code: number, reason: string, message: string) {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message };
}

export function refuse(response: ServerResponse, code: number, reason: string, message: string): void {
  answer(response, code, statusOf(code, reason, message));
}

function answer(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
