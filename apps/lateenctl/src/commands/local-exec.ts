// Commands: `lateenctl local exec POD -- COMMAND`: runs a program as a pod's application would, to call services from there.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Command } from 'commander';
import { findPods, unknownPodMessage } from '../control/pod-name.js';
import { CliError, ReportedError } from '../output/cli-error.js';
import { supervisorOf } from './context.js';

/** As shells say it: how a program ended that a signal ended, and one that could not be started. */
const SIGNAL_BASE = 128;
const NOT_FOUND = 127;

export function addLocalExec(local: Command): void {
  local
    .command('exec')
    .summary("run a program with a pod's environment, as `kubectl exec` would")
    .argument('<pod>', 'POD, POD.NAMESPACE or deployment/NAME (its first pod); not a gateway')
    .argument('<command...>', 'the program and its arguments, after `--`')
    .addHelpText(
      'after',
      `
It has the variables of the pod's application, so what it calls goes through the pod's sidecar: by name through the
forward proxy (http_proxy), or at the addresses of the service variables. It runs in this directory, as you. In a mesh
with --isolation netns it runs in the pod's network namespace, where any program may call http://reviews:9080.

Exit codes: that of the program (128 and the signal's number where a signal ended it, 127 where there is no such
program); 1 no such pod, 3 no mesh runs here.

Examples:
  lateenctl local exec productpage-v1 -- curl -s http://reviews:9080/reviews/0
  lateenctl local exec productpage-v1 -- sh -c 'curl -s http://$DETAILS_SERVICE_HOST:9080/details/0'`,
    )
    .action(async (text: string, [program, ...args]: [string, ...string[]], _options: object, command: Command) => {
      const control = supervisorOf(command);
      const { pods } = await control.status();
      const [pod] = findPods(pods, text, undefined);
      if (pod === undefined) throw new CliError(unknownPodMessage(pods, text, undefined));
      const { environment, command: inPod } = await control.environment({
        pod: `${pod.namespace}/${pod.name}`,
        command: [program, ...args],
        directory: process.cwd(),
      });
      const exitCode = await run(inPod, environment);
      if (exitCode !== 0) throw new ReportedError(exitCode);
    });
}

/** Runs a program on this terminal to its end. */
function run(command: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const [program, ...args] = command as [string, ...string[]];
  // Ctrl-C reaches the whole group; the program decides what it means.
  const ignore = () => {};
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, ignore);
  const child = spawn(program, args, { env, stdio: 'inherit' });
  process.once('SIGTERM', () => child.kill('SIGTERM'));
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(new CliError(`${program} cannot be started: ${error.message}`, NOT_FOUND));
    });
    child.once('exit', (code, signal) => {
      resolve(code ?? SIGNAL_BASE + constants.signals[signal as NodeJS.Signals]);
    });
  });
}
