// Store: how a resource stands on the disk. STATE/config/ORIGIN/GROUP/KIND/NAMESPACE/NAME.yaml, readable by people.

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { groupOfKind, keyOf, ORIGINS, type Origin, type ResourceKey, type StoredResource } from './stored-resource.js';

const CONFIG = 'config';
// Kubernetes names: lower case, so that file systems without case are safe too, and never "." or "..".
const SAFE_NAME = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/;
// File systems take 255 bytes; room is left for the suffixes of temporary files.
const MAX_PLAIN_NAME = 200;

/** Path of a resource's file below the state directory. @throws Error for a name that is not a Kubernetes name */
export function resourcePath(resource: { origin: Origin; kind: string; namespace: string; name: string }): string {
  const { origin, kind, namespace, name } = resource;
  return join(CONFIG, origin, groupOfKind(kind), kind, fileName(namespace), `${fileName(name)}.yaml`);
}

function fileName(name: string): string {
  if (!SAFE_NAME.test(name) || name.length > 253) {
    throw new Error(`${JSON.stringify(name)} is not a Kubernetes name, so it cannot be stored`);
  }
  if (name.length <= MAX_PLAIN_NAME) return name;
  const digest = createHash('sha256').update(name).digest('hex');
  return `${name.slice(0, MAX_PLAIN_NAME - 65).replace(/[^a-z0-9]+$/, '')}-${digest}`;
}

/** Text of a resource's file. */
export function encodeResource(resource: StoredResource): string {
  const { apiVersion, kind, namespace, name, labels, annotations, spec, source } = resource;
  const document = {
    apiVersion,
    kind,
    metadata: {
      name,
      namespace,
      labels,
      annotations,
      resourceVersion: String(resource.resourceVersion),
      creationTimestamp: resource.creationTime.toISOString(),
    },
    spec,
    source,
  };
  // A cluster's thousands are written at once, at each first start: JSON is YAML too, and a hundred times as fast to write.
  if (resource.origin === 'kubernetes') {
    return `# Written by galley; change it by kubectl, not here.\n${JSON.stringify(document, undefined, 2)}\n`;
  }
  return `# Written by galley; change it by "lateenctl apply", not here.\n${stringify(document, { lineWidth: 0, aliasDuplicateObjects: false })}`;
}

/** Reads a file that `encodeResource` wrote. @throws Error naming what is missing */
export function decodeResource(text: string, origin: Origin): StoredResource {
  const document: unknown = origin === 'kubernetes' ? JSON.parse(text.replace(/^#.*\n/, '')) : parse(text);
  const root = record(document, 'the document');
  const metadata = record(root.metadata, 'metadata');
  const source = record(root.source, 'source');
  const resourceVersion = Number(string(metadata.resourceVersion, 'metadata.resourceVersion'));
  const creationTime = new Date(string(metadata.creationTimestamp, 'metadata.creationTimestamp'));
  if (!Number.isSafeInteger(resourceVersion)) throw new Error('metadata.resourceVersion is not a number');
  if (Number.isNaN(creationTime.getTime())) throw new Error('metadata.creationTimestamp is not a time');
  if (root.spec === undefined) throw new Error('spec is missing');
  return {
    apiVersion: string(root.apiVersion, 'apiVersion'),
    kind: string(root.kind, 'kind'),
    namespace: string(metadata.namespace, 'metadata.namespace'),
    name: string(metadata.name, 'metadata.name'),
    labels: record(metadata.labels, 'metadata.labels') as Record<string, string>,
    annotations: record(metadata.annotations, 'metadata.annotations') as Record<string, string>,
    spec: root.spec,
    source: { file: string(source.file, 'source.file'), line: Number(source.line), column: Number(source.column) },
    origin,
    resourceVersion,
    creationTime,
  };
}

/**
 * Reads every stored resource. A file that cannot be read is an error and not skipped: serving the rest would take its
 * routes away, while Pilot keeps its last configuration as long as Galley does not answer.
 * @throws Error naming the file
 */
export async function loadResources(stateDir: string): Promise<Map<ResourceKey, StoredResource>> {
  const resources = new Map<ResourceKey, StoredResource>();
  for (const origin of ORIGINS) {
    for (const file of await listFiles(join(stateDir, CONFIG, origin))) {
      const resource = await loadResource(file, origin);
      if (join(stateDir, resourcePath(resource)) !== file) {
        throw new Error(`${file} holds ${keyOf(resource)}, whose place is elsewhere; move it away and apply it again`);
      }
      resources.set(keyOf(resource), resource);
    }
  }
  return resources;
}

async function loadResource(file: string, origin: Origin): Promise<StoredResource> {
  try {
    return decodeResource(await readFile(file, 'utf8'), origin);
  } catch (error) {
    throw new Error(`${file} is damaged: ${(error as Error).message}; restore it, or remove it and apply it again`, {
      cause: error,
    });
  }
}

/** Regular files below a directory, without temporary ones; none where the directory does not exist. */
async function listFiles(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} is not a mapping`);
  return value as Record<string, unknown>;
}

function string(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new Error(`${what} is not a text`);
  return value;
}
