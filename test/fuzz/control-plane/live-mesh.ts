// Fuzzing, the control plane: Citadel, Galley and Pilot as processes with the mesh of fuzz-mesh.ts, and proxies' ADS clients at Pilot.

import type { Any } from '@bufbuild/protobuf/wkt';
import { grpcChannelCredentials, MtlsAgent, mtlsFetch } from '@lateen/identity';
import type { Workload } from '@lateen/translate';
import { TYPE_URL } from '@lateen/xds-proto';
import type { ApplyResponse } from '@lateen/xds-proto/lateen/admin/v1/config_admin_pb.js';
import { DeltaAdsClient, type RawAdsClient, SotwAdsClient } from '../../contract/ads-client.js';
import { ControlPlaneProcesses, systemId } from '../../harness/control-plane-processes.js';
import { freePort } from '../../harness/free-port.js';
import { MeshOperator, type ResourceName } from '../../harness/mesh-operator.js';
import { waitUntil } from '../../harness/wait-until.js';
import { danglingReference } from '../targets/dangling-references.js';
import { FUZZ_MESH } from '../targets/fuzz-mesh.js';

/** Changes follow each other quickly here. */
const PILOT_FLAGS = ['--debounce-ms', '5', '--debounce-max-ms', '100', '--removal-grace-ms', '20'];
/** Whose proxies ask Pilot: one of each form, and one that is no Lateen sidecar. */
const CLIENTS: readonly (readonly [pod: string, form: 'delta' | 'sotw', LATEEN_VERSION: string | undefined])[] = [
  ['client-v1-0', 'delta', '0.1.0'],
  ['web-v1-0', 'sotw', '0.1.0'],
  ['gateway-v1-0', 'sotw', '0.1.0'],
  ['reviews-v1-0', 'delta', undefined],
];
const GROWTH_LIMIT_MIB = 400;

/** Secrets come by SDS, which these clients do not ask for. */
class AnyName extends Map<string, never> {
  override has(): boolean {
    return true;
  }
}
const SECRETS = new AnyName();
/** The judge remembers what it has seen by these objects. */
const judged = new WeakMap<Any, { readonly any: Any }>();

function resourceOf(any: Any): { readonly any: Any } {
  const known = judged.get(any) ?? { any };
  judged.set(any, known);
  return known;
}

export class LiveMesh {
  private constructor(
    private readonly plane: ControlPlaneProcesses,
    private readonly operator: MeshOperator,
    private readonly agent: MtlsAgent,
    private readonly pilotAdminPort: number,
    readonly clients: readonly RawAdsClient[],
    private readonly firstRssMiB: number,
  ) {}

  static async start(): Promise<LiveMesh> {
    const adminPort = await freePort();
    const plane = await ControlPlaneProcesses.start([...PILOT_FLAGS, '--admin-port', String(adminPort)]);
    try {
      const operator = await MeshOperator.connect(plane);
      await waitUntil('galley to take configuration', () => operator.tryApply('nothing.yaml', ''));
      const { namespaces, services, workloads } = FUZZ_MESH;
      const registry = {
        sequence: 1n,
        namespaces: namespaces.map((namespace) => ({ ...namespace })),
        services: services.map((service) => ({
          ...service,
          clusterIps: [...(service.clusterIps ?? [])],
          ports: service.ports.map((port) => ({ ...port })),
        })),
        workloads: workloads.map((workload) => ({
          ...workload,
          otherAddresses: [...(workload.otherAddresses ?? [])],
          ports: workload.ports.map((port) => ({ ...port })),
        })),
      };
      await waitUntil('pilot to take the registry', () => operator.report(registry));
      const clients = await Promise.all(CLIENTS.map(([pod, form, version]) => connect(plane, pod, form, version)));
      const agent = new MtlsAgent({ source: operator.admin, expectedSpiffeIds: [systemId('pilot')] });
      return new LiveMesh(plane, operator, agent, adminPort, clients, plane.rssMiB());
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  apply(name: string, content: string): Promise<ApplyResponse> {
    return this.operator.tryApply(name, content);
  }

  delete(resources: readonly ResourceName[]): Promise<void> {
    return this.operator.delete(resources);
  }

  /** What is wrong with what proxies hold; undefined where all is well. */
  fault(): string | undefined {
    for (const [index, client] of this.clients.entries()) {
      const held = [...client.held].map(
        ([typeUrl, named]) => [typeUrl, new Map([...named].map(([name, any]) => [name, resourceOf(any)]))] as const,
      );
      const resources = new Map<string, ReadonlyMap<string, { readonly any: Any }>>([
        ...held,
        [TYPE_URL.secret, SECRETS],
      ]);
      const dangling = danglingReference(resources as never);
      if (dangling !== undefined) return `for ${CLIENTS[index]?.[0]} ${dangling}`;
    }
    return undefined;
  }

  /** What a proxy was told in an order that breaks it, or that its stream ended; forgotten with the call. */
  takeViolation(): string | undefined {
    for (const [index, client] of this.clients.entries()) {
      const violation = client.violations[0] ?? client.log.find((line) => line.startsWith('ended: '));
      client.violations.length = 0;
      client.log.length = 0;
      if (violation !== undefined) return `for ${CLIENTS[index]?.[0]} ${violation}`;
    }
    return undefined;
  }

  /** Whether all of them hold a resource of this type that has the text in it. */
  hold(typeUrl: string, text: string): boolean {
    return this.clients.every((client) =>
      [...(client.held.get(typeUrl)?.values() ?? [])].some(({ value }) => Buffer.from(value).includes(text)),
    );
  }

  /** Pilot's own view of itself. @throws Error where it does not answer */
  async snapshot(): Promise<string> {
    const response = await mtlsFetch(this.agent)(`https://127.0.0.1:${this.pilotAdminPort}/debug/snapshot`);
    const { version, proxies } = (await response.json()) as { readonly version: string; readonly proxies: unknown };
    return `snapshot ${version}: ${JSON.stringify(proxies)}`;
  }

  /** The first process that is no longer there, with its last words. */
  ended(): string | undefined {
    return this.plane.ended();
  }

  memoryFault(): string | undefined {
    const growth = this.plane.rssMiB() - this.firstRssMiB;
    return growth > GROWTH_LIMIT_MIB
      ? `resident memory of the control plane has grown by ${growth.toFixed(0)} MiB`
      : undefined;
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.close();
    this.agent.destroy();
    this.operator.close();
    await this.plane.stop();
  }
}

async function connect(
  plane: ControlPlaneProcesses,
  pod: string,
  form: 'delta' | 'sotw',
  version: string | undefined,
): Promise<RawAdsClient> {
  const workload = FUZZ_MESH.workloads.find(({ name }) => name === pod) as Workload;
  const { namespace, serviceAccount, address, labels, gateway } = workload;
  const identity = await plane.identity(serviceAccount, namespace);
  const credentials = grpcChannelCredentials(identity, { expectedSpiffeIds: [systemId('pilot')] });
  const node = {
    id: `${gateway ? 'router' : 'sidecar'}~${address}~${pod}.${namespace}~${namespace}.svc.cluster.local`,
    metadata: {
      NAMESPACE: namespace,
      SERVICE_ACCOUNT: serviceAccount,
      LABELS: { ...labels },
      INTERCEPTION_MODE: 'NONE',
      ...(version === undefined ? {} : { LATEEN_VERSION: version }),
    },
  };
  const Client = form === 'delta' ? DeltaAdsClient : SotwAdsClient;
  return new Client(`127.0.0.1:${plane.pilotPort}`, credentials, node);
}
