// Among the first imports of a program: keeps V8 from optimizing what runs once, while the process starts.

import { setFlagsFromString } from 'node:v8';

/** What takes longer (many services, no control plane yet, a supervisor) goes on with optimized code. */
const MAX_HELD_MS = 3_000;

/**
 * Of a sidecar's start with 1,000 services V8 would spend a third of the CPU on optimizing functions that are hardly called
 * after it: on threads of its own, but on the core that the start needs. What is hot later is optimized then. Not as a flag
 * of the command line: Node would compile its own modules anew. Who gives a flag about it knows better.
 */
const given = [...process.execArgv, process.env.NODE_OPTIONS ?? ''].some((flag) =>
  /--(no-?)?(opt|turbofan)\b/.test(flag),
);
let isHeld = !given;
if (isHeld) {
  setFlagsFromString('--no-opt');
  setTimeout(releaseOptimizer, MAX_HELD_MS).unref();
}

/** From here on V8 optimizes as ever. */
export function releaseOptimizer(): void {
  if (!isHeld) return;
  isHeld = false;
  setFlagsFromString('--opt');
}
