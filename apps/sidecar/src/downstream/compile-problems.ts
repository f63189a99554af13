// Downstream: what the compiler of tables found wrong, as problems of the resources that configurations have.

import type { CompileProblem } from '@lateen/filters-wasm';
import { TYPE_URL } from '@lateen/xds-proto';
import type { ConfigProblem } from '../data-plane.js';
import type { CompiledListener } from './compile-listener.js';

const RESOURCE_TYPES: Readonly<Record<string, string>> = {
  RouteConfiguration: TYPE_URL.route,
  Cluster: TYPE_URL.cluster,
  ClusterLoadAssignment: TYPE_URL.endpoint,
  HttpConnectionManager: TYPE_URL.listener,
};

/** A problem of inline routes is their listener's, at the place where they stand in it. */
export function fromCompileProblem(problem: CompileProblem, listeners: readonly CompiledListener[]): ConfigProblem {
  for (const { config, routePaths } of listeners) {
    const at = problem.resourceType === 'RouteConfiguration' ? routePaths.get(problem.resourceName) : undefined;
    if (at === undefined) continue;
    const path = problem.path === '' ? at : `${at}.${problem.path}`;
    return { resourceType: TYPE_URL.listener, resourceName: config.name, path, message: problem.message };
  }
  return { ...problem, resourceType: RESOURCE_TYPES[problem.resourceType] ?? problem.resourceType };
}
