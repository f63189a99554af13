// Pod mode: everything that a proxy in a pod of a cluster is started by, read from its environment and the pod's files.

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { buildBootstrap, type SidecarNode, sidecarProcesses } from '@lateen/bootstrap';
import type { SidecarOptions } from '../sidecar.js';
import { StartError } from '../start-error.js';
import { type AppScrape, parseScrape } from './app-metrics.js';
import { type AppProber, parseAppProbers } from './app-probers.js';
import { readDownwardFile } from './downward-api.js';
import { podAddresses } from './own-addresses.js';
import { durationMs, parsePodProxyConfig } from './proxy-config.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Where the pod's volumes are; tests have others. `LATEEN_POD_ROOT` stands before all of them. */
const FILES = {
  token: '/var/run/secrets/tokens/istio-token',
  rootCert: '/var/run/secrets/istio/root-cert.pem',
  state: '/var/run/lateen',
  labels: '/etc/istio/pod/labels',
  annotations: '/etc/istio/pod/annotations',
} as const;

/** Redirect rules send DNS here: to an address, since answers must come from where the question went to. */
const DNS_ADDRESSES = ['127.0.0.1', '::1'];
const DNS_PORT = 15053;
const DEFAULT_PILOT = 'pilot.istio-system.svc:15012';
const DEFAULT_CITADEL = 'citadel.istio-system.svc:8060';
/** Istio's defaults. */
const DEFAULT_DRAIN_MS = 5_000;
const DEFAULT_MINIMUM_DRAIN_MS = 5_000;

export interface PodSettings {
  readonly bootstrap: string;
  readonly concurrency: number;
  readonly stateDir: string;
  readonly citadel: {
    readonly address: string;
    readonly tokenFile: string;
    readonly rootCertFile: string;
    readonly trustDomain: string;
    readonly gracePeriodRatio: number;
  };
  readonly drain: PodDrain;
  readonly serving: PodServing;
  /** Undefined where the application's DNS questions do not come here. */
  readonly dns: SidecarOptions['dns'];
}

/** How the proxy leaves: it goes on serving for a while, since clients learn late that the pod goes. */
export interface PodDrain {
  readonly durationMs: number;
  /** End as soon as nobody is connected any more, not before `minimumMs` and with no upper limit but the pod's grace period. */
  readonly untilNobody: boolean;
  readonly minimumMs: number;
}

/** What the ports of the pod serve. */
export interface PodServing {
  readonly podAddress: string;
  readonly probers: ReadonlyMap<string, AppProber>;
  readonly scrape: AppScrape | undefined;
}

/** @throws StartError with everything that is missing or wrong */
export function readPodSettings(type: 'sidecar' | 'router', version: string, given: Environment): PodSettings {
  const config = parsePodProxyConfig(given.PROXY_CONFIG);
  const env: Environment = { ...config.proxyMetadata, ...given };
  const faults: string[] = [];
  const need = (name: string): string => {
    const value = env[name] ?? '';
    if (value === '') faults.push(`the variable ${name} is required in a pod`);
    return value;
  };
  const root = env.LATEEN_POD_ROOT ?? '';
  const file = (path: string): string => join(root, path);
  const podName = need('POD_NAME');
  const namespace = need('POD_NAMESPACE');
  const address = need('INSTANCE_IP');
  if (address !== '' && isIP(address) === 0)
    faults.push(`INSTANCE_IP: ${JSON.stringify(address)} is not an IP address`);
  const serviceAccount = env.SERVICE_ACCOUNT || serviceAccountOf(env) || 'default';
  const trustDomain = env.TRUST_DOMAIN || 'cluster.local';
  const pilot = readTarget('PILOT_ADDRESS', env.PILOT_ADDRESS || config.discoveryAddress || DEFAULT_PILOT, faults);
  const citadel = env.CITADEL_ADDRESS || DEFAULT_CITADEL;
  readTarget('CITADEL_ADDRESS', citadel, faults);
  const mode = env.ISTIO_META_INTERCEPTION_MODE || (type === 'sidecar' ? 'REDIRECT' : 'NONE');
  if (mode !== 'REDIRECT' && mode !== 'TPROXY' && mode !== 'NONE') {
    faults.push(`ISTIO_META_INTERCEPTION_MODE: ${JSON.stringify(mode)} is none of REDIRECT, TPROXY, NONE`);
  }
  const minimumMs = durationOf(env, 'MINIMUM_DRAIN_DURATION', faults) ?? DEFAULT_MINIMUM_DRAIN_MS;
  const drainMs = durationOf(env, 'TERMINATION_DRAIN_DURATION_SECONDS', faults) ?? config.terminationDrainMs;
  const serving = {
    podAddress: address,
    probers: parseAppProbers(env.ISTIO_KUBE_APP_PROBERS, faults),
    scrape: parseScrape(env.ISTIO_PROMETHEUS_ANNOTATIONS, faults),
  };
  const labels = readDownwardFile(file(FILES.labels));
  const annotations = readDownwardFile(file(FILES.annotations));
  if (faults.length > 0) throw new StartError(faults.join('\n'));
  const workloadName = env.ISTIO_META_WORKLOAD_NAME || podName;
  const node: SidecarNode = {
    podName,
    namespace,
    workloadName: config.serviceCluster?.split('.')[0] || workloadName,
    serviceAccount,
    labels,
    annotations,
    address,
    addresses: podAddresses(address),
    gateway: type === 'router',
  };
  return {
    bootstrap: buildBootstrap({
      node,
      pilotAddress: pilot.host,
      pilotPort: pilot.port,
      trustDomain,
      version,
      environment: definedOf(env),
      metadata: {
        ...(env.HOST_IP ? { HOST_IP: env.HOST_IP } : {}),
        ANNOTATIONS: told(annotations),
        WORKLOAD_NAME: workloadName,
      },
      adminAddress: '127.0.0.1',
      interceptionMode: mode as 'REDIRECT',
      clusterId: env.ISTIO_META_CLUSTER_ID || undefined,
      meshId: env.ISTIO_META_MESH_ID || config.meshId || undefined,
    }),
    concurrency: sidecarProcesses(config.concurrency, cores(env)),
    stateDir: file(FILES.state),
    citadel: {
      address: citadel,
      tokenFile: file(FILES.token),
      rootCertFile: file(FILES.rootCert),
      trustDomain,
      gracePeriodRatio: 0.5,
    },
    drain: {
      durationMs: drainMs ?? DEFAULT_DRAIN_MS,
      untilNobody: isTrue(env.EXIT_ON_ZERO_ACTIVE_CONNECTIONS),
      minimumMs,
    },
    serving,
    dns: isTrue(env.ISTIO_META_DNS_CAPTURE) ? { namespace, addresses: DNS_ADDRESSES, port: DNS_PORT } : undefined,
  };
}

/** `HOST:PORT`; IPv6 addresses stand in brackets. */
function readTarget(name: string, text: string, faults: string[]): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) faults.push(`${name}: ${JSON.stringify(text)} is not HOST:PORT`);
  return { host: match?.[1] ?? match?.[2] ?? '', port };
}

function durationOf(env: Environment, name: string, faults: string[]): number | undefined {
  const text = env[name];
  if (text === undefined || text === '') return undefined;
  const found = /^\d+$/.test(text) ? Number(text) * 1000 : durationMs(text);
  if (found === undefined) faults.push(`${name}: ${JSON.stringify(text)} is not a duration like "5s"`);
  return found;
}

/** Of the token, where nobody says it otherwise. */
function serviceAccountOf(env: Environment): string | undefined {
  const path = join(env.LATEEN_POD_ROOT ?? '', FILES.token);
  try {
    const [, payload = ''] = readFileSync(path, 'utf8').split('.');
    const { sub } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { readonly sub?: unknown };
    return typeof sub === 'string' ? /^system:serviceaccount:[^:]+:([^:]+)$/.exec(sub)?.[1] : undefined;
  } catch {
    return undefined; // Citadel says what is wrong with the token
  }
}

/** The container's limit of CPU, where there is one. */
function cores(env: Environment): number {
  const limit = Number(env.ISTIO_CPU_LIMIT);
  return Math.min(availableParallelism(), limit >= 1 ? limit : Number.POSITIVE_INFINITY);
}

/** As Go reads truth. */
function isTrue(text: string | undefined): boolean {
  return text !== undefined && /^(?:1|t|true)$/i.test(text);
}

/** Those that others may want to know; what kubectl writes down is long and nobody's business. */
function told(annotations: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(annotations).filter(
      ([name]) => !/^kubectl\.kubernetes\.io\/last-applied|^kubernetes\.io\/config\./.test(name),
    ),
  );
}

function definedOf(env: Environment): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));
}
