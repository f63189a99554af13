// Installation: asks before a cluster is changed.

import { createInterface } from 'node:readline/promises';
import { CliError, UsageError } from '../output/cli-error.js';

/**
 * Goes on where the answer is yes.
 * @param skipped `-y`
 * @throws UsageError where nobody can be asked
 */
export async function confirm(question: string, skipped: boolean): Promise<void> {
  if (skipped) return;
  if (!process.stdin.isTTY) throw new UsageError(`${question}\nnobody can be asked here: say -y, or try --dry-run`);
  const dialogue = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await dialogue.question(`${question} [y/N] `);
    if (!/^(y|yes)$/i.test(answer.trim())) throw new CliError('nothing was changed');
  } finally {
    dialogue.close();
  }
}
