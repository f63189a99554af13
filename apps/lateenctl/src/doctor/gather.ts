// Doctor: gathers facts from the API server, Pilot and the proxies themselves. What does not answer is said, not missed.

import { type AnalysisInput, analyze, type RawObject } from '@lateen/analysis';
import type { KubeClient } from '@lateen/kubernetes';
import { readCluster, readLocalMesh } from '../analyze/read-cluster.js';
import { sidecarInCluster } from '../cluster/sidecar-in-cluster.js';
import type { Target } from '../commands/context.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { type AdminPod, sidecarAdminJson, sidecarAdminText } from '../mesh/sidecar-admin.js';
import { CliError } from '../output/cli-error.js';
import type { DoctorFacts, PodFacts } from './facts.js';
import { latencyFacts } from './metrics-facts.js';
import { relatedFindings } from './related.js';

export interface Asked {
  readonly kind: 'pod' | 'service';
  readonly name: string;
  readonly namespace: string;
}

/** Everything of a mesh that the API server, or a local mesh, says. */
export interface MeshReading {
  readonly input: AnalysisInput;
  readonly pods: readonly KnownPodFacts[];
  readonly unknown: readonly string[];
}

export type KnownPodFacts = Pick<
  PodFacts,
  'name' | 'namespace' | 'labels' | 'injection' | 'hasProxy' | 'ready' | 'waiting'
> & { readonly address: string };

export async function readClusterPods(client: KubeClient, namespace: string): Promise<MeshReading> {
  const [{ input, unread }, { readCheckedCluster }, { checkPods }] = await Promise.all([
    readCluster(client),
    import('../injection/checked-cluster.js'),
    import('../injection/checked-pods.js'),
  ]);
  const unknown = unread.map((kind) => `${kind} objects, which you may not list`);
  const given = await readCheckedCluster(client, { namespace }, (text) => unknown.push(text));
  const checked = new Map(
    checkPods(given.pods, given.mesh, (text) => unknown.push(text)).map((each) => [each.name, each]),
  );
  const pods = input.raw.filter(({ kind, metadata }) => kind === 'Pod' && metadata.namespace === namespace);
  return { input, unknown, pods: pods.map((pod) => podFacts(pod, checked.get(pod.metadata.name))) };
}

interface PodStatus {
  readonly podIP?: string;
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  readonly containerStatuses?: readonly ContainerStatus[];
  readonly initContainerStatuses?: readonly ContainerStatus[];
}

interface ContainerStatus {
  readonly name: string;
  readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
}

function podFacts(
  pod: RawObject,
  checked: ({ injected: boolean; code: string; reason: string } & { hasProxy: boolean }) | undefined,
): KnownPodFacts {
  const {
    podIP = '',
    conditions = [],
    containerStatuses = [],
    initContainerStatuses = [],
  } = (pod.status ?? {}) as PodStatus;
  return {
    name: pod.metadata.name,
    namespace: pod.metadata.namespace ?? '',
    labels: pod.metadata.labels ?? {},
    address: podIP,
    injection: checked && { injected: checked.injected, code: checked.code, reason: checked.reason },
    hasProxy: checked?.hasProxy ?? false,
    ready: conditions.some(({ type, status }) => type === 'Ready' && status === 'True'),
    waiting: [...initContainerStatuses, ...containerStatuses].flatMap(({ name, state }) => {
      const { reason = '', message } = state?.waiting ?? {};
      // What only waits its turn is no cause.
      return ['', 'PodInitializing', 'ContainerCreating'].includes(reason)
        ? []
        : [`container ${name} waits: ${reason}${message === undefined ? '' : `: ${message}`}`];
    }),
  };
}

export async function readLocalPods(target: Target, namespace: string): Promise<MeshReading> {
  const [input, pods] = await Promise.all([readLocalMesh(target), target.pods()]);
  return {
    input,
    unknown: [],
    pods: pods
      .filter((pod) => pod.namespace === namespace)
      .map(({ name, labels, address, ready }) => ({
        name,
        namespace,
        labels,
        address,
        ready,
        injection: undefined,
        hasProxy: true,
        waiting: [],
      })),
  };
}

/** @param target undefined where the control plane cannot be reached: then only what the API server says is known */
export async function gather(
  reading: MeshReading,
  asked: Asked,
  target: Target | undefined,
  nowMs: number,
): Promise<DoctorFacts> {
  const { input } = reading;
  const services = input.raw.filter(
    ({ kind, metadata }) => kind === 'Service' && metadata.namespace === asked.namespace,
  );
  const chosen =
    asked.kind === 'pod'
      ? reading.pods.filter(({ name }) => name === asked.name)
      : podsOf(services, asked, reading.pods);
  if (asked.kind === 'pod' && chosen.length === 0) {
    throw new CliError(
      `there is no pod ${asked.name} in namespace ${asked.namespace}; there are: ${reading.pods.map(({ name }) => name).join(', ') || 'none'}`,
    );
  }
  const own =
    asked.kind === 'service'
      ? [asked.name]
      : services
          .filter((service) => chosen.some(({ labels }) => selects(service, labels)))
          .map(({ metadata }) => metadata.name);
  const subject = {
    namespace: asked.namespace,
    services: own,
    labels: chosen.map(({ labels }) => labels),
    pods: chosen.map(({ name }) => name),
  };
  const unknown = [...reading.unknown];
  const pods = await Promise.all(chosen.map((pod) => withProxyFacts(pod, target, unknown)));
  return {
    subject: `${asked.kind} ${asked.namespace}/${asked.name}`,
    host: asked.kind === 'service' ? `${asked.name}.${asked.namespace}.svc.cluster.local` : undefined,
    pods,
    findings: relatedFindings(analyze(input), input, subject),
    unknown: [...new Set(unknown)],
    nowMs,
  };
}

function podsOf(
  services: readonly RawObject[],
  asked: Asked,
  pods: readonly KnownPodFacts[],
): readonly KnownPodFacts[] {
  const service = services.find(({ metadata }) => metadata.name === asked.name);
  if (service === undefined) {
    throw new CliError(
      `there is no service ${asked.name} in namespace ${asked.namespace}; there are: ${services.map(({ metadata }) => metadata.name).join(', ') || 'none'}`,
    );
  }
  return pods.filter(({ labels }) => selects(service, labels));
}

function selects({ spec }: RawObject, labels: Readonly<Record<string, string>>): boolean {
  const { selector = {} } = (spec ?? {}) as { selector?: Record<string, string> };
  return Object.keys(selector).length > 0 && Object.entries(selector).every(([key, value]) => labels[key] === value);
}

type SyncedProxy = { readonly proxyId: string; readonly types: NonNullable<PodFacts['proxy']> };

async function withProxyFacts(pod: KnownPodFacts, target: Target | undefined, unknown: string[]): Promise<PodFacts> {
  const nothing = { proxy: undefined, tls: undefined, certificateEndsMs: undefined, latency: undefined };
  if (!pod.hasProxy || target === undefined) return { ...pod, ...nothing };
  const proxyId = `${pod.name}.${pod.namespace}`;
  const ask = async <T>(what: string, question: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await question();
    } catch (error) {
      unknown.push(`${what}: ${(error as Error).message}`);
      return undefined;
    }
  };
  const { controlPlane, cluster } = target;
  const admin: AdminPod = cluster === undefined ? pod : await sidecarInCluster(cluster, pod);
  const [all, check, certificates, metrics] = await Promise.all([
    ask('what Pilot sent', () => pilotDebug<readonly SyncedProxy[]>(controlPlane, '/debug/syncz')),
    ask('mutual TLS between services', () =>
      pilotDebug<{ outbound: NonNullable<PodFacts['tls']> }>(
        controlPlane,
        `/debug/authn?proxyID=${encodeURIComponent(proxyId)}`,
      ),
    ),
    ask(`certificates of ${pod.name}`, () => sidecarAdminJson<Certificates>(admin, '/certs')),
    ask(`metrics of ${pod.name}`, () => sidecarAdminText(admin, '/stats/prometheus')),
  ]);
  return {
    ...pod,
    proxy: all === undefined ? undefined : (all.find((each) => each.proxyId === proxyId)?.types ?? []),
    tls: check?.outbound,
    certificateEndsMs: endOf(certificates),
    latency: metrics === undefined ? undefined : latencyFacts(metrics),
  };
}

interface Certificates {
  readonly certificates?: readonly { readonly cert_chain?: readonly { readonly expiration_time?: string }[] }[];
}

function endOf(certificates: Certificates | undefined): number | undefined {
  const ends = (certificates?.certificates ?? [])
    .flatMap(({ cert_chain = [] }) => Date.parse(cert_chain[0]?.expiration_time ?? ''))
    .filter((ms) => !Number.isNaN(ms));
  return ends.length === 0 ? undefined : Math.min(...ends);
}
