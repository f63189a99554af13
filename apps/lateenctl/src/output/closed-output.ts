// lateenctl, output: whoever reads it may have seen enough (`| head`, `| grep -m1`); that is no failure to tell anybody of.

import type { Writable } from 'node:stream';

/** As a shell shows a program that SIGPIPE has ended. */
const ENDED_BY_READER = 141;

/** Calls `end` once nobody reads the output any more. Any other error of it goes on as it was. */
export function endWithReader(output: Writable, end: (exitCode: number) => void): void {
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    end(ENDED_BY_READER);
  });
}
