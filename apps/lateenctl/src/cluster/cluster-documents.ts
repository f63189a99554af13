// Cluster: documents of files into the API server, out of it, and lists of them: what `apply`, `delete` and `get` do there.

import type { KubernetesObject } from '@lateen/installation';
import { describeKind, type Kind } from '@lateen/istio-config';
import { ApiError, isNotFound, type KubeClient, type KubeObject, type ResourceType } from '@lateen/kubernetes';
import { parseAllDocuments } from 'yaml';
import type { SourceText } from '../control/control-api.js';
import { ObjectWriter } from '../install/object-writer.js';
import { CliError } from '../output/cli-error.js';

/** What became of a document. */
export interface DocumentChange {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly action: 'created' | 'configured' | 'unchanged' | 'deleted' | 'not found';
}

const FIELD_MANAGER = 'lateenctl-apply';

interface PlacedDocument {
  readonly file: string;
  readonly object: KubernetesObject;
  readonly type: ResourceType;
}

/**
 * Applies every document by server-side apply, after the API server (and with it Galley's webhook) has said of each that it
 * would take it, so that a refusal changes nothing.
 * @throws CliError naming the file, the document and what the API server says
 */
export async function applyToCluster(
  client: KubeClient,
  files: readonly SourceText[],
  defaultNamespace: string,
  dryRun: boolean,
): Promise<readonly DocumentChange[]> {
  const documents = await placed(client, files, defaultNamespace);
  const namespaces = new Set(
    documents.filter(({ type }) => type.kind === 'Namespace').map(({ object }) => object.metadata.name),
  );
  // What stands in a namespace that comes with the same files cannot be tried before that is there.
  const tried = documents.filter(({ object }) => !namespaces.has(object.metadata.namespace ?? ''));
  const refused: string[] = [];
  for (const document of tried) {
    await applied(client, document, true).catch((error: Error) => refused.push(error.message));
  }
  if (refused.length > 0) throw new CliError(`${refused.join('\n')}\nnothing was changed`);
  const changes: DocumentChange[] = [];
  for (const document of documents) {
    const before = await read(client, document);
    const after = dryRun ? undefined : await applied(client, document, false);
    const action =
      before === undefined
        ? 'created'
        : after !== undefined && after.metadata.resourceVersion === before.metadata.resourceVersion
          ? 'unchanged'
          : 'configured';
    changes.push(changeOf(document, action));
  }
  return changes;
}

/** Deletes what the files name. */
export async function deleteFromCluster(
  client: KubeClient,
  files: readonly SourceText[],
  defaultNamespace: string,
): Promise<readonly DocumentChange[]> {
  const changes: DocumentChange[] = [];
  for (const document of await placed(client, files, defaultNamespace)) {
    changes.push(changeOf(document, await deleted(client, document.type, document.object.metadata)));
  }
  return changes;
}

export async function deleteByName(
  client: KubeClient,
  kind: Kind,
  namespace: string,
  names: readonly string[],
): Promise<readonly DocumentChange[]> {
  const type = await servedType(client, kind);
  const changes: DocumentChange[] = [];
  for (const name of names)
    changes.push({ kind, namespace, name, action: await deleted(client, type, { namespace, name }) });
  return changes;
}

async function deleted(
  client: KubeClient,
  type: ResourceType,
  { namespace, name }: { readonly namespace?: string; readonly name: string },
): Promise<'deleted' | 'not found'> {
  try {
    await client.delete(type, { namespace, name });
    return 'deleted';
  } catch (error) {
    if (isNotFound(error)) return 'not found';
    throw error;
  }
}

/** Documents of a kind. @param namespace all without it */
export async function listFromCluster(
  client: KubeClient,
  kind: Kind,
  namespace: string | undefined,
): Promise<readonly (KubeObject & { readonly spec?: unknown })[]> {
  const type = await servedType(client, kind);
  const { items } = await client.listAll(type, { namespace });
  return items;
}

/** The newest version of a kind that the API server serves. @throws CliError where it serves none */
async function servedType(client: KubeClient, kind: Kind): Promise<ResourceType> {
  const { group, versions } = describeKind(kind);
  for (const version of versions) {
    const found = (await client.discover(group, version)).find((each) => each.kind === kind);
    if (found !== undefined) return { group, version, kind, plural: found.name, namespaced: found.namespaced };
  }
  throw new CliError(
    `the API server does not know ${kind}: its definition is not installed (lateenctl install, or kubectl apply -k deploy/crds)`,
  );
}

async function placed(
  client: KubeClient,
  files: readonly SourceText[],
  defaultNamespace: string,
): Promise<PlacedDocument[]> {
  const writer = new ObjectWriter(client);
  const result: PlacedDocument[] = [];
  for (const { name: file, content } of files) {
    for (const document of parseAllDocuments(content, { merge: true })) {
      const object = document.toJS() as KubernetesObject | null;
      if (object === null) continue;
      for (const each of object.kind === 'List' ? (object.items as readonly KubernetesObject[]) : [object]) {
        const type = await writer.typeOf(each);
        if (type === undefined)
          throw new CliError(`${file}: the API server does not serve ${each.kind} of ${each.apiVersion}`);
        const namespace = type.namespaced ? (each.metadata.namespace ?? defaultNamespace) : undefined;
        const metadata = { ...each.metadata, ...(namespace !== undefined && { namespace }) };
        result.push({ file, type, object: { ...each, metadata } });
      }
    }
  }
  return result;
}

async function read(client: KubeClient, { object, type }: PlacedDocument): Promise<KubeObject | undefined> {
  try {
    return await client.get(type, object.metadata);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

async function applied(
  client: KubeClient,
  { file, object, type }: PlacedDocument,
  dryRun: boolean,
): Promise<KubeObject> {
  try {
    return await client.patch(type, object.metadata, { apply: object }, { fieldManager: FIELD_MANAGER, dryRun });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const advice =
      error.code === 409
        ? '; who owns it may change it: kubectl apply, or kubectl apply --server-side --force-conflicts'
        : '';
    throw new CliError(`${file}: ${error.message}${advice}`);
  }
}

function changeOf({ object, type }: PlacedDocument, action: DocumentChange['action']): DocumentChange {
  return { kind: type.kind, namespace: object.metadata.namespace ?? '', name: object.metadata.name, action };
}
