// Explain: what there is to explain with: documents, checked as `validate` does, or the running mesh as Pilot knows it.

import { readFileSync, statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { ExplainInput } from '@lateen/explain';
import {
  type ConfigObject,
  compareProblems,
  parseDocuments,
  parseMeshConfig,
  validateObjects,
  withMetadata,
} from '@lateen/istio-config';
import { buildSnapshot, type SnapshotInput } from '@lateen/translate';
import { DEFAULT_NAMESPACE } from '../commands/context.js';
import { bootstrapProblem, sortFiles } from '../documents/other-files.js';
import { readSources } from '../documents/read-sources.js';
import type { ControlPlane } from '../mesh/control-plane.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { ReportedError, UsageError } from '../output/cli-error.js';
import { errorColors, printProblems, problemCounts } from '../output/print.js';
import { meshOfDocuments } from './mesh-of-documents.js';

const MAX_FILE_BYTES = 16 * 1024 * 1024;

/** What of an answer's input does not depend on the request. */
export type ReadMesh = Pick<ExplainInput, 'snapshot' | 'documents' | 'meshFile'>;

export interface DocumentOptions {
  readonly config: readonly string[];
  readonly services: readonly string[];
  readonly meshConfig?: string;
  readonly namespace: string;
  readonly recursive: boolean;
}

/** The mesh that runs, with its pods as they are. */
export async function readRunningMesh(controlPlane: ControlPlane): Promise<ReadMesh> {
  const input = await pilotDebug<SnapshotInput>(controlPlane, '/debug/mesh');
  const configs = withPlaces(input.configs);
  return { snapshot: buildSnapshot({ ...input, configs }), documents: [], meshFile: undefined };
}

/**
 * The objects with the places of their fields, where the file that they were applied from is still here and says the same.
 * The mesh itself only knows where each document begins.
 */
export function withPlaces(objects: readonly ConfigObject[]): ConfigObject[] {
  const files = [...new Set(objects.map(({ source }) => source.file))].filter(isReadable);
  const texts = files.map((name) => ({ name, content: readFileSync(name, 'utf8') }));
  const written = new Map<string, ConfigObject>();
  for (const object of parseDocuments(texts, { defaultNamespace: DEFAULT_NAMESPACE }).objects) {
    written.set(placeKey(object), object);
  }
  return objects.map((object) => {
    const same = written.get(placeKey(object));
    return same?.kind === object.kind && isDeepStrictEqual(same.spec, object.spec)
      ? withMetadata(same, object.metadata)
      : object;
  });
}

/** Somebody else may have applied it: what is named there need not be a file that can be read to its end. */
function isReadable(file: string): boolean {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size <= MAX_FILE_BYTES;
}

/** The namespace may have been given on the command line, so it is no part of it. */
function placeKey({ kind, metadata, source }: ConfigObject): string {
  return `${source.file}:${source.line} ${kind}/${metadata.name}`;
}

/** Reads and checks everything that was named; warnings are printed. @throws ReportedError after printing every error */
export function readDocuments(options: DocumentOptions): ReadMesh {
  const files = [
    ...readSources(options.config, options),
    ...(options.services.length > 0 ? readSources(options.services, options) : []),
  ];
  const { documents, meshConfigs, bootstraps } = sortFiles(files);
  const named = options.meshConfig === undefined ? [] : readSources([options.meshConfig], { recursive: false });
  const meshFiles = named.length > 0 ? named : meshConfigs;
  if (meshFiles.length > 1) {
    throw new UsageError(
      `${meshFiles.map(({ name }) => name).join(' and ')} are both mesh files; give one by --mesh-config`,
    );
  }
  const { objects, problems } = parseDocuments(documents, { defaultNamespace: options.namespace });
  const mesh = meshFiles.map((file) => ({ name: file.name, ...parseMeshConfig(file) }));
  const all = [
    ...problems,
    ...mesh.flatMap((each) => each.problems),
    ...bootstraps.map((file) => bootstrapProblem(file, 'warning')),
    ...validateObjects(objects),
  ].sort(compareProblems);
  printProblems(all);
  if (all.some(({ severity }) => severity === 'error')) {
    process.stderr.write(`${errorColors.red(problemCounts(all))}\n`);
    throw new ReportedError();
  }
  if (objects.length === 0) throw new UsageError(`there is no document in ${files.map(({ name }) => name).join(', ')}`);
  return { documents: objects, snapshot: meshOfDocuments(objects, mesh[0]?.config), meshFile: mesh[0] };
}
