// Resolve: the ports at which a workload takes calls, with their mutual TLS mode.

import { protocolOfPort } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, Workload } from '../model.js';
import { type MeshService, meshIndex } from './mesh-index.js';
import { type EffectiveMtlsMode, effectiveMtlsMode } from './peer-authentication.js';

export interface InboundPort {
  /** Port at the pod's address. */
  readonly port: number;
  /** Port of the application on 127.0.0.1. */
  readonly appPort: number;
  readonly mtlsMode: EffectiveMtlsMode;
  /** Services that lead here, by hostname; none for a port that no service has. */
  readonly services: readonly MeshService[];
  /** Port of the first of these services; the workload's own where there is none. */
  readonly servicePort: number;
}

/** The HTTP ports of a workload in order. Ports that are not HTTP/1.1 are told by the mesh index. */
export function resolveInboundPorts(
  snapshot: MeshSnapshot,
  workload: Workload,
): { readonly ports: readonly InboundPort[]; readonly problems: readonly Problem[] } {
  const ports: InboundPort[] = [];
  const problems: Problem[] = [];
  const served = meshIndex(snapshot).servedBy.get(workload) ?? [];
  for (const { port, appPort, name } of [...workload.ports].sort((a, b) => a.port - b.port)) {
    const subject = `Workload/${workload.namespace}/${workload.name}`;
    if (ports.at(-1)?.port === port) {
      const message = `port ${port} is declared twice; the first one counts`;
      problems.push({ code: 'conflict-inbound-listener', severity: 'warning', metric: METRIC, subject, message });
      continue;
    }
    const leading = served.filter((candidate) => candidate.port.targetPort === port);
    const http = leading.filter((candidate) => candidate.port.http);
    if (http.length > 0 && http.length < leading.length) {
      const other = leading.find((candidate) => !candidate.port.http)!;
      const message = `port ${port} is HTTP for ${http[0]!.service.hostname} and ${other.port.protocol} for ${other.service.hostname}; it is served as HTTP. Give both service ports the same protocol`;
      problems.push({ code: 'conflict-inbound-listener', severity: 'warning', metric: METRIC, subject, message });
    }
    if (http.length === 0) {
      if (leading.length > 0) continue; // told with the service
      const protocol = protocolOfPort({ name, port });
      if (protocol !== 'http' && protocol !== 'auto') {
        const message = `port ${port} (${name}) is ${protocol}: no listener is made for it, only HTTP/1.1 is served yet`;
        problems.push({ code: 'unsupported-protocol', severity: 'warning', subject, message });
        continue;
      }
    }
    ports.push({
      port,
      appPort,
      mtlsMode: effectiveMtlsMode(snapshot, workload, port),
      services: [...new Set(http.map(({ service }) => service))],
      servicePort: http[0]?.port.port ?? port,
    });
  }
  return { ports, problems };
}

const METRIC = 'pilot_conflict_inbound_listener';
