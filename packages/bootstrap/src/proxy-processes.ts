// How many processes a sidecar is, by the `concurrency` that its settings ask for.

/** What the sidecar takes. */
const MOST = 64;

/**
 * One unless more are asked for, since a mesh on one machine has many sidecars; 0 stands for one for each core. More than
 * there are cores would only take memory.
 */
export function sidecarProcesses(concurrency: number | undefined, cores: number): number {
  if (concurrency === undefined) return 1;
  return Math.min(concurrency === 0 ? cores : concurrency, cores, MOST);
}
