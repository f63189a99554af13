// Bug report: of a mesh of this machine, also of one that has ended (its logs), and of a control plane by address.

import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { analyze, formatFinding } from '@lateen/analysis';
import type { Command } from 'commander';
import { readLocalMesh } from '../analyze/read-cluster.js';
import { remoteEndpoints, stateDirOf, targetOf } from '../commands/context.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { pilotSource, sidecarSource } from '../proxy-config/proxy-source.js';
import { leftLogFile, leftLogNames } from '../state/left-logs.js';
import { type StateLayout, stateLayout } from '../state/state-layout.js';
import { localVersions } from '../version/mesh-versions.js';
import { addProxy } from './proxy-report.js';
import type { Report } from './report.js';

export interface LocalScope {
  /** None: all. */
  readonly namespaces: readonly string[];
  readonly tailLines: number;
}

const MAX_LOG_BYTES = 4 * 1024 * 1024;

export async function collectLocal(report: Report, command: Command, scope: LocalScope): Promise<void> {
  await report.add(
    'versions.json',
    async () =>
      (await localVersions(command, (text) => report.missing.push(`versions: ${text}`))) ?? {
        controlPlane: 'none runs',
      },
  );
  await addRunning(report, command, scope);
  if (remoteEndpoints(command) !== undefined) {
    report.missing.push('logs: of a control plane by address they are on its own machine');
    return;
  }
  const layout = stateLayout(stateDirOf(command));
  await report.add('mesh-config.yaml', async () => readFileSync(layout.meshConfigFile, 'utf8'));
  await addLeftLogs(report, layout, scope);
}

async function addRunning(report: Report, command: Command, { namespaces }: LocalScope): Promise<void> {
  const target = await report.attempt('the mesh that runs', () => targetOf(command));
  if (target === undefined) return;
  const { controlPlane, supervisor } = target;
  if (supervisor !== undefined) {
    await report.add('status.json', () => supervisor.status());
    await report.add('objects.yaml', async () => (await supervisor.objects()).objects);
  }
  await report.add('analyze.txt', async () => {
    const findings = analyze(await readLocalMesh(target)).map(formatFinding);
    return findings.length === 0 ? 'no finding\n' : `${findings.join('\n')}\n`;
  });
  await report.add('proxy-status.json', () => pilotDebug(controlPlane, '/debug/syncz'));
  await report.add('mesh.json', () => pilotDebug(controlPlane, '/debug/mesh'));
  const pods = (await report.attempt('the proxies', () => target.pods())) ?? [];
  for (const pod of pods.filter(({ namespace }) => isChosen(namespace, namespaces))) {
    await addProxy(report, pod, supervisor === undefined ? pilotSource(controlPlane, pod) : sidecarSource(pod));
  }
}

/** Components' logs always, pods' of the namespaces. */
export async function addLeftLogs(report: Report, layout: StateLayout, scope: LocalScope): Promise<void> {
  for (const name of leftLogNames(layout)) {
    const [namespace, pod] = name.split('/');
    if (pod === undefined) {
      await addLog(report, `logs/${name}.log`, leftLogFile(layout, name), scope);
    } else if (isChosen(namespace!, scope.namespaces)) {
      for (const part of ['app', 'sidecar']) {
        await addLog(report, `${namespace}/logs/${pod}/${part}.log`, leftLogFile(layout, `${name}/${part}`), scope);
      }
    }
  }
}

async function addLog(report: Report, path: string, file: string | undefined, scope: LocalScope): Promise<void> {
  if (file !== undefined) await report.add(path, async () => lastLines(file, scope.tailLines));
}

function isChosen(namespace: string, namespaces: readonly string[]): boolean {
  return namespaces.length === 0 || namespaces.includes(namespace);
}

/** The last lines of a file, as far as they are within its last megabytes. */
function lastLines(file: string, count: number): string {
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const chunk = Buffer.alloc(Math.min(size, MAX_LOG_BYTES));
    const length = readSync(descriptor, chunk, 0, chunk.length, size - chunk.length);
    const lines = chunk.toString('utf8', 0, length).split('\n');
    return lines.slice(-(count + 1)).join('\n');
  } finally {
    closeSync(descriptor);
  }
}
