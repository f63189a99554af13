// Authority, for tests: ends this process as `kill -9` would, at a named place between two steps of a rotation.

/** The places, in the order in which a rotation passes them. */
export const FAULT_POINTS = [
  'make:decided',
  'make:key',
  'make:stored',
  'distribute:decided',
  'distribute:bundle',
  'distribute:followed',
  'issue:decided',
  'issue:bundle',
  'issue:followed',
  'remove:decided',
  'remove:bundle',
  'remove:erased',
] as const;
export type FaultPoint = (typeof FAULT_POINTS)[number];

const chosen = process.env.LATEEN_TEST_FAULT_POINT;

/** Does nothing unless the environment of a test names this place. */
export function faultPoint(name: FaultPoint): void {
  if (chosen === name) process.kill(process.pid, 'SIGKILL');
}
