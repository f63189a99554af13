// Distribution: waits until every proxy has taken a change: first what runs (the supervisor), then what the proxies have (Pilot).

import { describeKind, isKind } from '@lateen/istio-config';
import type { DistributionReport } from '@lateen/telemetry';
import type { Change } from '../commands/apply-sources.js';
import type { Target } from '../commands/context.js';
import type { ObjectRef } from '../control/control-api.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { CliError, UnreachableError } from '../output/cli-error.js';
import { errorColors } from '../output/print.js';
import { incompleteText } from './incomplete-text.js';
import type { WaitChoice } from './wait-choice.js';

/** What the proxies are to have taken. */
export interface Wanted {
  /** `GROUP/KIND` -> the version of Galley's up to which. */
  readonly configs: ReadonlyMap<string, bigint>;
  /** Istio objects that are to be gone, as `GROUP/KIND@NAMESPACE/NAME`. */
  readonly absent: readonly string[];
  /** Kubernetes objects: what they describe is to run, or to be leaving, and Pilot's newest to be taken. */
  readonly objects: readonly ObjectRef[];
  /** POD.NAMESPACE of the only proxies that count; empty: all. */
  readonly proxyIds: readonly string[];
}

/** Pilot answers when its own time is over, and needs a moment for it. */
const ANSWER_TIME_MS = 5_000;

/** The ADS type of an Istio kind. */
export function typeUrlOf(kind: string): string {
  return `${isKind(kind) ? describeKind(kind).group : ''}/${kind}`;
}

/** What the changes of an `apply` or `delete` ask for. */
export function wantedOf(changes: readonly Change[]): Wanted {
  const configs = new Map<string, bigint>();
  const objects: ObjectRef[] = [];
  for (const { kind, namespace, name, action, resourceVersion } of changes) {
    if (isKind(kind) && describeKind(kind).family !== 'istio') objects.push({ kind, namespace, name });
    else if (action !== 'not found' && resourceVersion !== undefined) {
      const version = BigInt(resourceVersion);
      const known = configs.get(typeUrlOf(kind)) ?? 0n;
      configs.set(typeUrlOf(kind), version > known ? version : known);
    }
  }
  return { configs, absent: [], objects, proxyIds: [] };
}

/** Waits for what was applied or deleted, as far as the user wants that. @throws CliError naming who has not taken it */
export async function awaitChanges(target: Target, changes: readonly Change[], choice: WaitChoice): Promise<void> {
  const wanted = wantedOf(changes);
  if (wanted.configs.size + wanted.objects.length === 0) return;
  try {
    const report = await awaitDistribution(target, wanted, choice.timeoutMs);
    if (!report.complete) throw new CliError(`done, but ${incompleteText(report, choice.timeoutMs)}`);
  } catch (error) {
    if (choice.asked || !(error instanceof UnreachableError)) throw error;
    const text = `not waited until the proxies have it, since ${error.message}`;
    process.stderr.write(`${errorColors.yellow('warning:')} ${text}\n`);
  }
}

/** Resolves once it is everywhere, refused somewhere, or the time is over. @throws CliError where what is to run does not */
export async function awaitDistribution(
  target: Target,
  wanted: Wanted,
  timeoutMs: number,
): Promise<DistributionReport> {
  const startedAtMs = performance.now();
  if (wanted.objects.length > 0 && target.supervisor !== undefined) {
    const { waiting, stopped } = await target.supervisor.settle({ objects: wanted.objects, timeoutMs });
    if (waiting.length > 0 && stopped.length > 0) {
      throw new UnreachableError(`${stopped.join(', ')} is stopped; waiting for ${waiting.join('; ')}`);
    }
    if (waiting.length > 0) {
      throw new CliError(
        `done, but not ready in time: ${waiting.join('; ')}. See \`lateenctl local status\` and \`lateenctl local logs NAME\``,
      );
    }
  }
  const leftMs = Math.max(0, Math.round(timeoutMs - (performance.now() - startedAtMs)));
  return pilotDebug(target.controlPlane, distributionPath(wanted, leftMs), leftMs + ANSWER_TIME_MS);
}

/** The page that Pilot answers. */
export function distributionPath({ configs, absent, objects, proxyIds }: Wanted, timeoutMs: number): string {
  const query = new URLSearchParams({ timeoutMs: String(timeoutMs) });
  for (const [typeUrl, version] of configs) query.append('config', `${typeUrl}@${version}`);
  for (const each of absent) query.append('absent', each);
  for (const proxyId of proxyIds) query.append('proxyID', proxyId);
  if (objects.length > 0) query.append('present', 'true');
  return `/debug/distribution?${query}`;
}
