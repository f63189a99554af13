// Distribution: whether, and how long, `apply` and `delete` wait until every proxy has taken what they changed.

import type { Command } from 'commander';
import { durationMsOf, type Target } from '../commands/context.js';
import { UsageError } from '../output/cli-error.js';

export interface WaitChoice {
  /** The user asked for it; where it is only the default, a control plane that is away is no failure. */
  readonly asked: boolean;
  readonly timeoutMs: number;
}

/** What `--wait[=TIMEOUT]` and `--no-wait` leave in a command's options. */
export interface WaitOptions {
  readonly wait?: string | boolean;
}

export const DEFAULT_WAIT_TIMEOUT = '30s';

export function addWaitOptions(command: Command): Command {
  return command
    .option(
      '--wait [timeout]',
      `until every proxy has taken it, at most this long (as --wait=10s; ${DEFAULT_WAIT_TIMEOUT}); the default in a local mesh`,
    )
    .option('--no-wait', 'return at once (also --wait=false)');
}

/** Undefined: it does not wait. @throws UsageError for what is no time */
export function waitChoice({ wait }: WaitOptions, { supervisor }: Pick<Target, 'supervisor'>): WaitChoice | undefined {
  const asked = wait !== undefined;
  // On one machine a proxy has it in a fraction of a second; elsewhere nobody knows how many there are, or how far.
  if (wait === false || wait === 'false' || (!asked && supervisor === undefined)) return undefined;
  const text = typeof wait === 'string' && wait !== 'true' ? wait : DEFAULT_WAIT_TIMEOUT;
  return { asked, timeoutMs: durationMsOf('--wait', text) };
}

/** @throws UsageError in a cluster, whose API server does not know what proxies have */
export function refuseWaiting({ wait }: WaitOptions): void {
  if (wait === undefined || wait === false || wait === 'false') return;
  throw new UsageError(
    '--wait: in a cluster, ask by lateenctl proxy-status, or kubectl wait --for=condition=Reconciled',
  );
}

/** `--wait` without a value would take the word behind it for one: `delete --wait virtualservice reviews`. */
export function withWaitValue(words: readonly string[]): string[] {
  const end = words.indexOf('--');
  return words.map((word, index) => (word === '--wait' && (end < 0 || index < end) ? '--wait=true' : word));
}
