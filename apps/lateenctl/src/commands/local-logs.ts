// Commands: `lateenctl local logs NAME`: the log of a process, from its file.

import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { MeshStatus, ProcessStatus } from '../control/control-api.js';
import { findPods, unknownPodMessage } from '../control/pod-name.js';
import { CliError, UnreachableError, UsageError } from '../output/cli-error.js';
import { leftLogFile, leftLogNames } from '../state/left-logs.js';
import { stateLayout } from '../state/state-layout.js';
import { stateDirOf, supervisorOf } from './context.js';

const FOLLOW_POLL_MS = 200;

export function addLocalLogs(local: Command): void {
  local
    .command('logs')
    .summary("show a process's log")
    .argument('<process>', 'supervisor, pilot, galley, citadel; a pod (its application) or POD/sidecar')
    .option('-f, --follow', 'go on with new lines', false)
    .option('--tail <lines>', 'only the last lines', '-1')
    .addHelpText(
      'after',
      `
The logs of a mesh that has ended are shown, too. A supervisor in the foreground logs to its standard error.

Exit codes: 0 shown, 1 no such process or log, 3 no mesh ran here.

Examples:
  lateenctl local logs pilot -f
  lateenctl local logs productpage-v1
  lateenctl local logs productpage-v1/sidecar --tail 20`,
    )
    .action(async (name: string, options: { follow: boolean; tail: string }, command: Command) => {
      const tail = Number(options.tail);
      if (!Number.isInteger(tail)) throw new UsageError(`--tail ${options.tail}: not a number of lines`);
      const file = await findLogFile(command, name);
      if (!existsSync(file)) throw new CliError(`${name} has written no log yet (${file})`);
      const text = readFileSync(file);
      process.stdout.write(lastLines(text.toString('utf8'), tail));
      if (options.follow) await follow(file, text.length);
    });
}

/** By the supervisor's word while the mesh runs, else by the files that it left. */
async function findLogFile(command: Command, name: string): Promise<string> {
  try {
    return logFileOf(await supervisorOf(command).status(), name);
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error;
    const layout = stateLayout(stateDirOf(command));
    const file = leftLogFile(layout, name);
    if (file !== undefined) return file;
    const names = leftLogNames(layout);
    if (names.length === 0) throw error;
    throw new CliError(
      `no mesh runs in ${layout.root}, and the last one left no log of "${name}", but of ${names.join(', ')}`,
    );
  }
}

function logFileOf(status: MeshStatus, name: string): string {
  const found = status.processes.find((each) => each.name === name) ?? podProcess(status, name);
  if (found.logFile === '') {
    throw new CliError(
      `the ${found.kind} (pid ${found.pid ?? 'none'}) runs in the foreground and keeps no log file: its log is the standard ` +
        'error of `lateenctl local up --foreground`, or of what started that',
    );
  }
  return found.logFile;
}

function podProcess(status: MeshStatus, name: string): ProcessStatus {
  const [, podText = name, part] = /^(.+)\/(app|sidecar)$/.exec(name) ?? [];
  const [pod] = findPods(status.pods, podText, undefined);
  const own = status.processes.filter((each) => each.pod === pod?.name && each.namespace === pod?.namespace);
  const wanted = (kind: string): ProcessStatus | undefined => own.find((each) => each.kind === kind);
  const found = part === undefined ? (wanted('app') ?? wanted('sidecar')) : wanted(part);
  if (found === undefined) {
    const others = 'or supervisor, pilot, galley, citadel';
    throw new CliError(`${unknownPodMessage(status.pods, podText, undefined)}; ${others}`);
  }
  return found;
}

function lastLines(text: string, count: number): string {
  if (count < 0) return text;
  const lines = text.split('\n');
  const complete = lines.at(-1) === '' ? lines.slice(0, -1) : lines;
  return count === 0 ? '' : `${complete.slice(-count).join('\n')}\n`;
}

/** Prints what is appended, until the command is interrupted. A file that was emptied is read from its start again. */
async function follow(file: string, from: number): Promise<never> {
  let offset = from;
  for (;;) {
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    if (size < offset) offset = 0;
    if (size > offset) {
      const chunk = Buffer.alloc(size - offset);
      const descriptor = openSync(file, 'r');
      const length = readSync(descriptor, chunk, 0, chunk.length, offset);
      closeSync(descriptor);
      process.stdout.write(chunk.subarray(0, length));
      offset += length;
    }
    await sleep(FOLLOW_POLL_MS);
  }
}
