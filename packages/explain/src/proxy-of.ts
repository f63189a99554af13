// Explain: a workload's proxy: what it sees of the mesh, and what Pilot sends it.

import {
  buildResources,
  type MeshSnapshot,
  type ProxyResources,
  type ProxyView,
  resolveProxyView,
  type Workload,
} from '@lateen/translate';
import { nodeOfWorkload } from './caller.js';

export interface WorkloadProxy {
  readonly view: ProxyView;
  readonly resources: ProxyResources;
}

/** Where callers of one machine seem to be, whatever their own address is. */
export const LOOPBACK = '127.0.0.1';

/** In local mode pods have such addresses. */
export function isLoopback(address: string): boolean {
  return address.startsWith('127.');
}

const known = new WeakMap<MeshSnapshot, Map<Workload, WorkloadProxy>>();

/** Built once for a snapshot, which never changes: many requests may be asked about. */
export function proxyOf(snapshot: MeshSnapshot, workload: Workload): WorkloadProxy {
  const ofSnapshot = known.get(snapshot) ?? new Map<Workload, WorkloadProxy>();
  known.set(snapshot, ofSnapshot);
  let proxy = ofSnapshot.get(workload);
  if (proxy === undefined) {
    const view = resolveProxyView(snapshot, nodeOfWorkload(workload, snapshot), true);
    proxy = { view, resources: buildResources(view) };
    ofSnapshot.set(workload, proxy);
  }
  return proxy;
}
