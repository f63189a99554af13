// Conformance, step 2: the members of a case's WorkloadGroups: each registers itself by Pilot's own code, and is probed by its sidecar's.

import type { ConfigObject } from '@lateen/istio-config';
import { Registrations } from '@lateen/pilot/build/workload-groups/registrations.js';
import { type HealthLoop, startHealthLoop } from '@lateen/sidecar/build/workload-health/health-loop.js';
// The loop loads it with the first probe, which could take longer here than the times that cases compare.
import '@lateen/sidecar/build/workload-health/probe-once.js';
import { readReadinessProbe } from '@lateen/sidecar/build/workload-health/readiness-probe.js';
import { createLogger } from '@lateen/telemetry';
import { type ProxyNode, parseProxyNode } from '@lateen/translate';
import { fromEnvoyJson } from '@lateen/xds-proto';
import { type Node, NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { waitUntil } from '../../harness/wait-until.js';
import type { ConformanceCase, Health, PodOfCase } from '../case-file.js';
import type { CaseAddresses, CaseConfig } from '../mesh/case-snapshot.js';

const TOLD_WITHIN_MS = 10_000;
const NEVER_MS = 3_600_000;

/** What a member's sidecar says of itself, as `lateenctl workload configure` writes it. */
function nodeOf({ name, namespace, serviceAccount, labels, group }: PodOfCase, address: string, probe: unknown): Node {
  const metadata = {
    NAMESPACE: namespace,
    SERVICE_ACCOUNT: serviceAccount,
    LABELS: { ...labels },
    INTERCEPTION_MODE: 'NONE',
    AUTO_REGISTER_GROUP: group,
    ...(probe === undefined ? {} : { PROXY_CONFIG: { readinessProbe: probe } }),
  };
  const id = `sidecar~${address}~${name}.${namespace}~${namespace}.svc.cluster.local`;
  return fromEnvoyJson(NodeSchema, { id, metadata: metadata as never });
}

function proxyOf(node: Node): ProxyNode {
  const parsed = parseProxyNode(node);
  if (!parsed.ok) throw new Error(parsed.errors.join('; '));
  return parsed.proxy;
}

export class CaseMembers {
  private readonly told = new Map<string, Health>();
  private readonly probes: HealthLoop[] = [];
  private changes = 0;

  private constructor(
    private readonly registrations: Registrations,
    private readonly nodes: ReadonlyMap<string, Node>,
    private readonly configs: readonly ConfigObject[],
  ) {}

  /**
   * Registers all members. Whom Pilot refuses is none of the group, as in a mesh.
   *
   * @param file where Pilot's code stores who is registered
   */
  static async register(
    { pods, clients }: ConformanceCase,
    { objects }: CaseConfig,
    addresses: CaseAddresses,
    file: string,
  ): Promise<CaseMembers> {
    const isMember = ({ group }: PodOfCase) => group !== undefined;
    const inRegistry = [...pods, ...clients].filter((pod) => !isMember(pod) && !pod.loopback);
    const registrations = await Registrations.open({
      file,
      graceMs: NEVER_MS,
      configs: () => objects,
      podAt: (address) => inRegistry.find(({ name }) => addresses.pod(name) === address)?.name,
      logger: createLogger('pilot', 'silent'),
      onChange: () => {
        members.changes += 1;
      },
    });
    const nodes = new Map<string, Node>();
    const members = new CaseMembers(registrations, nodes, objects);
    for (const pod of pods.filter(isMember)) {
      const group = objects.find(
        (object): object is ConfigObject<'WorkloadGroup'> =>
          object.kind === 'WorkloadGroup' &&
          object.metadata.name === pod.group &&
          object.metadata.namespace === pod.namespace,
      );
      const node = nodeOf(pod, addresses.pod(pod.name), group?.spec.probe);
      const proxy = proxyOf(node);
      if (registrations.admit(proxy) !== undefined) continue;
      nodes.set(pod.name, node);
      registrations.connect(pod.name, proxy, '');
    }
    return members;
  }

  /** Grows with each change of who is registered and how they are. */
  get version(): number {
    return this.changes;
  }

  /** Starts to probe those whose group says how. */
  startProbes(): void {
    for (const [name, { metadata }] of this.nodes) {
      const probe = readReadinessProbe(metadata);
      if (probe === undefined) continue;
      const loop = startHealthLoop(probe, (fault) => {
        this.told.set(name, fault === undefined ? 'well' : 'unwell');
        this.registrations.report(name, fault);
      });
      this.probes.push(loop);
    }
  }

  /** Waits until the sidecars of these members have told this of them; `untold` must hold then. */
  async waitFor(expected: Readonly<Record<string, Health>>): Promise<void> {
    const differing = () =>
      Object.entries(expected).filter(([name, health]) => (this.told.get(name) ?? 'untold') !== health);
    try {
      await waitUntil('probes', () => differing().length === 0, TOLD_WITHIN_MS);
    } catch (error) {
      const lines = differing().map(
        ([name, health]) => `${name} is ${this.told.get(name) ?? 'untold'}, not ${health}; ${(error as Error).message}`,
      );
      throw new Error(lines.join('\n'));
    }
  }

  /** The WorkloadEntries of who is registered now. */
  entries(): readonly ConfigObject[] {
    return this.registrations.entries(this.configs);
  }

  async close(): Promise<void> {
    for (const probe of this.probes) probe.stop();
    await this.registrations.close();
  }
}
