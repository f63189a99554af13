// Resolve: how an intercepted pod takes calls to ports that none of its services has.

import type { MeshSnapshot, Workload } from '../../model.js';
import type { InboundPort } from '../inbound-ports.js';
import { type EffectiveMtlsMode, effectiveMtlsMode, portsOfTheirOwnMode } from '../peer-authentication.js';

export interface PassthroughPort {
  /** 0: all that are not named otherwise. */
  readonly port: number;
  readonly mtlsMode: EffectiveMtlsMode;
}

/** The mode of all of them, and of those that a PeerAuthentication names. */
export function resolvePassthroughPorts(
  snapshot: MeshSnapshot,
  workload: Pick<Workload, 'namespace' | 'labels'>,
  inbound: readonly InboundPort[],
): readonly PassthroughPort[] {
  const served = new Set(inbound.filter(({ captured }) => captured).map(({ port }) => port));
  const named = portsOfTheirOwnMode(snapshot, workload).filter((port) => !served.has(port));
  return [0, ...named].map((port) => ({ port, mtlsMode: effectiveMtlsMode(snapshot, workload, port) }));
}
