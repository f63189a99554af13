// Describe: finds what a request means, for the debug API.

import type { PodDescription, ServiceDescription } from '@lateen/telemetry';
import {
  type MeshSnapshot,
  meshIndex,
  type Problem,
  resolveProxyView,
  type TranslationCache,
  type Workload,
} from '@lateen/translate';
import { nodeOf } from '../debug/node-of-workload.js';
import { clientText } from './client-rules.js';
import { describePod } from './describe-pod.js';
import { describeService } from './describe-service.js';

export interface NotFound {
  readonly error: string;
}

/** @param proxyId POD.NAMESPACE */
export function describePodById(
  mesh: MeshSnapshot,
  cache: TranslationCache,
  proxyId: string,
): PodDescription | NotFound {
  const workload = mesh.workloads.find(({ name, namespace }) => `${name}.${namespace}` === proxyId);
  if (workload === undefined) {
    const known = mesh.workloads.map(({ name, namespace }) => `${name}.${namespace}`).join(', ') || 'none';
    return { error: `the registry knows no pod "${proxyId}"; known: ${known}` };
  }
  return describePod(mesh, workload, problemsOf(mesh, cache, workload));
}

/** @param name NAME.NAMESPACE, or a full host name */
export function describeServiceByName(
  mesh: MeshSnapshot,
  cache: TranslationCache,
  name: string,
): ServiceDescription | NotFound {
  const { services } = meshIndex(mesh);
  const service = services.find((each) => each.hostname === name || `${each.name}.${each.namespace}` === name);
  if (service === undefined) {
    const known = services.map((each) => `${each.name}.${each.namespace}`).join(', ') || 'none';
    return { error: `the registry knows no service "${name}"; known: ${known}` };
  }
  return describeService(mesh, service, problemsOfClients(mesh, cache, service.namespace));
}

function problemsOf(mesh: MeshSnapshot, cache: TranslationCache, workload: Workload): readonly Problem[] {
  return cache.translate(resolveProxyView(mesh, nodeOf(workload, mesh), true)).problems;
}

/**
 * What the workloads of a namespace and the gateways would be told: one of each workload is enough. A problem that only
 * some of the sidecars, or of the gateways, have says which.
 */
function problemsOfClients(mesh: MeshSnapshot, cache: TranslationCache, namespace: string): readonly Problem[] {
  const clients = new Map(
    mesh.workloads
      .filter((workload) => workload.gateway || workload.namespace === namespace)
      .map((workload) => [`${workload.workloadName}.${workload.namespace}`, workload]),
  );
  return [false, true].flatMap((gateway) => {
    const peers = [...clients].filter(([, workload]) => workload.gateway === gateway);
    const found = new Map<string, { readonly problem: Problem; readonly names: Set<string> }>();
    for (const [name, workload] of peers) {
      for (const problem of problemsOf(mesh, cache, workload)) {
        const key = `${problem.code} ${problem.subject} ${problem.message}`;
        const entry = found.get(key) ?? { problem, names: new Set() };
        found.set(key, entry);
        entry.names.add(name);
      }
    }
    return [...found.values()].map(({ problem, names }) =>
      names.size === peers.length
        ? problem
        : { ...problem, message: `${problem.message} (only calls of ${clientText([...names])})` },
    );
  });
}
