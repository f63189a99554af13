// Pod mode: the application's probes and hooks, which the kubelet asks at the proxy (`/app-health/CONTAINER/livez`), since the
// application's own ports may take nothing but mutual TLS.

import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { StartError } from '../start-error.js';
import { probeOnce } from '../workload-health/probe-once.js';
import { type ProbeAction, readNetworkProbe } from '../workload-health/readiness-probe.js';
import { dialApplication } from './dial-application.js';
import { askGrpcHealth } from './grpc-health.js';

export interface AppProber {
  readonly action: ProbeAction;
  readonly timeoutMs: number;
}

const NAME = 'ISTIO_KUBE_APP_PROBERS';
const PATH = /^\/(?:app-health\/[^/]+\/(?:livez|readyz|startupz)|app-lifecycle\/[^/]+\/(?:prestopz|poststartz))$/;

/** By path. @param text JSON as Istio's injection writes it; what is wrong with it goes to `faults` */
export function parseAppProbers(text: string | undefined, faults: string[]): ReadonlyMap<string, AppProber> {
  const probers = new Map<string, AppProber>();
  if (text === undefined || text.trim() === '') return probers;
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch (error) {
    faults.push(`${NAME} is not JSON: ${(error as Error).message}`);
    return probers;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    faults.push(`${NAME} is not an object`);
    return probers;
  }
  for (const [path, probe] of Object.entries(value)) {
    if (!PATH.test(path))
      faults.push(
        `${NAME}: ${path} is not /app-health/CONTAINER/{livez,readyz,startupz}, nor /app-lifecycle/CONTAINER/{prestopz,poststartz}`,
      );
    try {
      probers.set(path, readNetworkProbe((probe ?? {}) as JsonObject, `${NAME}[${JSON.stringify(path)}]`));
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      faults.push(error.message);
    }
  }
  return probers;
}

/** Asks the application at the pod's address. Undefined where it is well, else what is wrong. */
export function askApplication({ action, timeoutMs }: AppProber, podAddress: string): Promise<string | undefined> {
  if (action.kind === 'exec') return Promise.resolve('a command is not asked over the network');
  const here = { ...action, host: podAddress };
  if (here.kind === 'grpc') return askGrpcHealth(here, timeoutMs);
  return probeOnce(here.kind === 'httpGet' ? withHost(here, podAddress) : here, timeoutMs, dialApplication);
}

/** As the kubelet itself would call it; the probe's own headers come before that. */
function withHost(action: Extract<ProbeAction, { kind: 'httpGet' }>, podAddress: string): ProbeAction {
  const named = action.headers.some(([name]) => name.toLowerCase() === 'host');
  const host = podAddress.includes(':') ? `[${podAddress}]:${action.port}` : `${podAddress}:${action.port}`;
  return named ? action : { ...action, headers: [...action.headers, ['host', host]] };
}
