// Checks of a cluster: what was looked at, and what to do about it.

import { errorColors, outColors } from '../../output/print.js';

export interface Finding {
  readonly level: 'ok' | 'warning' | 'error';
  /** What was looked at, stable: `version`, `permissions`, `clock`… */
  readonly check: string;
  /** What was found; for others than `ok` also what to do. */
  readonly message: string;
}

export const ok = (check: string, message: string): Finding => ({ level: 'ok', check, message });
export const warning = (check: string, message: string): Finding => ({ level: 'warning', check, message });
export const fault = (check: string, message: string): Finding => ({ level: 'error', check, message });

/** Prints findings, a line each: what is well to standard output, the rest to standard error. */
export function reportFindings(findings: readonly Finding[]): void {
  for (const { level, check, message } of findings) {
    if (level === 'ok') process.stdout.write(`${outColors.green('ok')}       ${check}: ${message}\n`);
    else {
      const word = level === 'error' ? errorColors.red('error') : errorColors.yellow('warning');
      process.stderr.write(`${word}${level === 'error' ? '    ' : '  '}${check}: ${message}\n`);
    }
  }
}
