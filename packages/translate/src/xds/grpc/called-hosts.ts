// Build: the hosts and ports that a proxyless gRPC client may call, with their routes.

import type { Problem } from '../../model.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { buildHostRoutes, type HostRoutes } from '../routes/host-routes.js';

interface CalledHosts {
  readonly hosts: readonly HostRoutes[];
  readonly problems: readonly Problem[];
}

const known = new WeakMap<ClientScope, CalledHosts>();

function calls(scope: ClientScope): CalledHosts {
  const result = known.get(scope) ?? resolveCalls(scope);
  known.set(scope, result);
  return result;
}

/** Nobody can ask for a wildcard by its name. */
function resolveCalls(scope: ClientScope): CalledHosts {
  const { byPort, problems } = buildHostRoutes(scope, false);
  const hosts = [...byPort.values()].flat().filter(({ host }) => !host.startsWith('*'));
  return { hosts, problems: [...scope.meshRoutes().problems, ...problems] };
}

/** Worked out once for all clients of a scope. */
export function calledHosts(scope: ClientScope): readonly HostRoutes[] {
  return calls(scope).hosts;
}

/** What is wrong with their rules, whoever calls. */
export function ruleProblems(scope: ClientScope): readonly Problem[] {
  return calls(scope).problems;
}

/** Everything that they are made of. */
export function hostsKey(scope: ClientScope): string {
  const { declarations, subsets, meshRoutes } = scope.hashes();
  return [scope.namespace, declarations, subsets, meshRoutes, scope.snapshot.hashes.settings].join('/');
}
