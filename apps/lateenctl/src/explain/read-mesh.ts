// Explain: what there is to explain with: documents, checked as `validate` does, or the running mesh as Pilot knows it.

import type { ExplainInput } from '@lateen/explain';
import { compareProblems, parseDocuments, parseMeshConfig, validateObjects } from '@lateen/istio-config';
import { buildSnapshot, type SnapshotInput } from '@lateen/translate';
import { bootstrapProblem, sortFiles } from '../documents/other-files.js';
import { readSources } from '../documents/read-sources.js';
import type { ControlPlane } from '../mesh/control-plane.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { ReportedError, UsageError } from '../output/cli-error.js';
import { errorColors, printProblems, problemCounts } from '../output/print.js';
import { meshOfDocuments } from './mesh-of-documents.js';

/** What of an answer's input does not depend on the request. */
export type ReadMesh = Pick<ExplainInput, 'snapshot' | 'documents' | 'meshFile'>;

export interface DocumentOptions {
  readonly config: readonly string[];
  readonly services: readonly string[];
  readonly meshConfig?: string;
  readonly namespace: string;
  readonly recursive: boolean;
}

/** The mesh that runs, with its pods as they are. Reasons have the lines at which documents begin: nobody keeps the text. */
export async function readRunningMesh(controlPlane: ControlPlane): Promise<ReadMesh> {
  const input = await pilotDebug<SnapshotInput>(controlPlane, '/debug/mesh');
  return { snapshot: buildSnapshot(input), documents: [], meshFile: undefined };
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
