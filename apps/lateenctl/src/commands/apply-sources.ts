// Commands: applies files: all documents valid in both places, or nothing changes.

import { type ConfigObject, type Problem, parseDocuments } from '@lateen/istio-config';
import type { ObjectResult, SourceText } from '../control/control-api.js';
import { bootstrapProblem, meshConfigProblem, sortFiles } from '../documents/other-files.js';
import { isKubernetesObject, istioFiles } from '../documents/split-documents.js';
import type { ControlClient } from '../mesh/control-client.js';
import type { ControlPlane } from '../mesh/control-plane.js';
import { problemFromWire, withGalley } from '../mesh/galley-client.js';
import { ReportedError, UsageError } from '../output/cli-error.js';
import { printProblems, problemCounts } from '../output/print.js';
import { requireSupervisor, type Target } from './context.js';

export interface ParsedSources {
  readonly files: readonly SourceText[];
  readonly objects: readonly ConfigObject[];
  readonly defaultNamespace: string;
}

/** Parses and validates without asking anybody. Warnings are printed. @throws ReportedError after printing every error */
export function parseSources(files: readonly SourceText[], defaultNamespace: string): ParsedSources {
  const { documents, meshConfigs, bootstraps } = sortFiles(files);
  const { objects, problems: ofDocuments } = parseDocuments(documents, { defaultNamespace });
  const problems = [
    ...ofDocuments,
    ...meshConfigs.map(meshConfigProblem),
    ...bootstraps.map((file) => bootstrapProblem(file, 'error')),
  ];
  printProblems(problems);
  refuseErrors(problems);
  if (objects.length === 0) throw new UsageError('there is no document in what was given');
  return { files, objects, defaultNamespace };
}

/** What a change did. */
export interface Change {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly action: string;
  /** Of an Istio kind: the version of Galley's store from which on this is so; '' where nothing was, or is, changed. */
  readonly resourceVersion?: string;
}

/**
 * Sends Kubernetes objects to the supervisor and Istio resources to Galley. Both are asked first whether they would take
 * them, so that a refusal by either changes nothing.
 */
export async function applySources(
  target: Target,
  sources: ParsedSources,
  dryRun: boolean,
): Promise<readonly Change[]> {
  const wouldChange = await send(target, sources, true);
  return dryRun ? wouldChange : send(target, sources, false);
}

async function send(target: Target, sources: ParsedSources, dryRun: boolean): Promise<Change[]> {
  // The documents that say which pods there are go first: they take the longest to act on.
  const changes: Change[] = [];
  if (sources.objects.some(isKubernetesObject)) {
    const supervisor = requireSupervisor(target, 'applying Kubernetes documents');
    changes.push(...(await sendToSupervisor(supervisor, sources, dryRun)));
  }
  return [...changes, ...(await sendToGalley(target.controlPlane, sources, dryRun))];
}

/** Applies the Kubernetes objects of the sources. @throws ReportedError after printing what was refused */
export async function sendToSupervisor(
  control: ControlClient,
  { files, objects, defaultNamespace }: ParsedSources,
  dryRun: boolean,
): Promise<readonly ObjectResult[]> {
  if (!objects.some(isKubernetesObject)) return [];
  const { problems, results } = await control.apply({ files, defaultNamespace, dryRun });
  printOnce(problems, dryRun);
  refuseErrors(problems);
  return results;
}

/** Applies the Istio resources of the sources. @throws ReportedError after printing what was refused */
export async function sendToGalley(
  controlPlane: ControlPlane,
  { files, objects, defaultNamespace }: ParsedSources,
  dryRun: boolean,
): Promise<readonly Change[]> {
  const wanted = istioFiles(files, objects);
  if (wanted.length === 0) return [];
  return withGalley(controlPlane, async (client) => {
    const answer = await client.apply({ defaultNamespace, files: wanted, dryRun });
    const problems = answer.problems.map(problemFromWire);
    printOnce(
      problems.filter(({ severity }) => severity === 'error'),
      dryRun,
    );
    refuseErrors(problems);
    return answer.results;
  });
}

/** The dry run comes first and tells everything; the real run would say it again. */
function printOnce(problems: readonly Problem[], dryRun: boolean): void {
  if (dryRun || problems.some(({ severity }) => severity === 'error')) printProblems(problems);
}

function refuseErrors(problems: readonly Problem[]): void {
  if (!problems.some(({ severity }) => severity === 'error')) return;
  process.stderr.write(`${problemCounts(problems)}; nothing was changed\n`);
  throw new ReportedError();
}
