// Galley's metrics, under Istio's names where Istio has them.

import { describeKind, isIstioKind, type Problem } from '@lateen/istio-config';
import { GALLEY_METRIC } from '@lateen/telemetry';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { KubernetesSources } from './kubernetes/kubernetes-sources.js';
import type { ReadResource } from './kubernetes/read-resource.js';
import type { ChangeOutcome } from './sources/apply-documents.js';
import type { FileStatus } from './sources/config-directory.js';
import { hasErrors } from './sources/ownership.js';
import type { ConfigStore } from './store/config-store.js';

export interface GalleyMetrics {
  readonly registry: Registry;
  /** Counts each resource of a request that was validated. */
  recordValidation(outcome: ChangeOutcome): void;
  /** Counts the resources and the errors of a watched file that changed. */
  recordFile(status: FileStatus): void;
  /** Counts a version of an object of the API server. */
  recordRead(read: ReadResource): void;
  /** Counts an object that the API server asked about. */
  recordReview(kind: string, problems: readonly Problem[]): void;
  /** Counts an answer of a webhook. */
  recordAnswer(path: string, status: number): void;
  recordLeader(isLeader: boolean): void;
  recordStatusWrite(outcome: 'written' | 'conflict' | 'failed'): void;
  /** Shows how the API server's kinds and resources stand. */
  observe(sources: KubernetesSources): void;
}

const LABELS = ['group', 'resource'] as const;

export function createGalleyMetrics(store: ConfigStore): GalleyMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const passed = new Counter({
    name: GALLEY_METRIC.validationPassed,
    help: 'Resources that passed validation',
    labelNames: LABELS,
    registers: [registry],
  });
  const failed = new Counter({
    name: GALLEY_METRIC.validationFailed,
    help: 'Resources that failed validation, by the code of the problem',
    labelNames: [...LABELS, 'reason'],
    registers: [registry],
  });
  const answers = new Counter({
    name: GALLEY_METRIC.webhookAnswers,
    help: 'Answers of webhooks, by path and HTTP status; 200 also for a refusal',
    labelNames: ['path', 'status'],
    registers: [registry],
  });
  const leader = new Gauge({
    name: GALLEY_METRIC.leader,
    help: '1 where this replica writes statuses and keeps the webhook configurations',
    registers: [registry],
  });
  const statusWrites = new Counter({
    name: GALLEY_METRIC.statusWrites,
    help: 'Statuses written to the API server, by outcome',
    labelNames: ['outcome'],
    registers: [registry],
  });
  new Gauge({
    name: 'galley_resources',
    help: 'Resources in force, by kind',
    labelNames: ['kind'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { kind } of store.state.resources.values()) this.inc({ kind });
    },
  });
  new Gauge({
    name: 'galley_config_version',
    help: 'Version of the configuration in force; rises with each accepted change',
    registers: [registry],
    collect() {
      this.set(store.state.version);
    },
  });
  const countErrors = (problems: readonly Problem[]) => {
    for (const { kind, severity, code } of problems) {
      if (severity === 'error') failed.inc({ ...labelsOf(kind), reason: code });
    }
  };
  const recordOne = (kind: string, problems: readonly Problem[]) => {
    if (hasErrors(problems)) countErrors(problems);
    else passed.inc(labelsOf(kind));
  };
  return {
    registry,
    recordValidation: ({ problems, outcomes }) => {
      for (const { kind } of outcomes) passed.inc(labelsOf(kind));
      countErrors(problems);
    },
    recordRead: ({ kind, problems }) => recordOne(kind, problems),
    recordReview: recordOne,
    recordLeader: (isLeader) => leader.set(isLeader ? 1 : 0),
    recordStatusWrite: (outcome) => statusWrites.inc({ outcome }),
    observe: (sources) => observeSources(registry, sources),
    recordAnswer: (path, status) => answers.inc({ path, status }),
    recordFile: ({ kinds, problems }) => {
      for (const kind of kinds) passed.inc(labelsOf(kind));
      countErrors(problems);
    },
  };
}

/** The kinds are few and known; whatever a user wrote besides counts as `unknown`, so that labels stay bounded. */
function labelsOf(kind: string): { group: string; resource: string } {
  if (!isIstioKind(kind)) return { group: 'unknown', resource: 'unknown' };
  const { group, plural } = describeKind(kind);
  return { group, resource: plural };
}

function observeSources(registry: Registry, { kinds, resources }: KubernetesSources): void {
  new Gauge({
    name: GALLEY_METRIC.rejectedResources,
    help: 'Resources of the API server that are not in force as they stand there, by kind',
    labelNames: ['kind'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { kind, content } of resources.seen.values()) if (content === undefined) this.inc({ kind });
    },
  });
  new Gauge({
    name: GALLEY_METRIC.kindsSynced,
    help: '1 for kinds that are read and watched, 0 for those that are not, by kind',
    labelNames: ['kind'],
    registers: [registry],
    collect() {
      for (const { kind, state, error } of kinds.states) this.set({ kind }, state === 'synced' && !error ? 1 : 0);
    },
  });
}
