// Conformance, step 3: what Pilot is to proxies: translates a snapshot for each of them and serves it by ADS, in this process.

import { Server, ServerCredentials } from '@grpc/grpc-js';
import { type MeshSnapshot, parseProxyNode, resolveProxyView, TranslationCache } from '@lateen/translate';
import { fromEnvoyJson, TYPE_URL, unpackAny } from '@lateen/xds-proto';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { createAdsService, ENVOY_SERVED_TYPES, type ServedSnapshot } from '@lateen/xds-stream';
import { notTaken } from '../../harness/not-taken.js';
import { waitUntil } from '../../harness/wait-until.js';
import { GATEWAY, type PodOfCase } from '../case-file.js';
import { CaseQuotas } from './case-quotas.js';

export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

interface Served {
  readonly snapshot: ServedSnapshot;
  readonly nacks: string[];
}

export class CasePilot {
  private readonly served = new Map<string, Served>();
  private readonly subscribers = new Map<string, Set<() => void>>();
  private readonly cache = new TranslationCache();
  private readonly server = new Server();
  private pushes = 0;
  readonly quotas = new CaseQuotas();
  port = 0;

  private readonly ads = createAdsService({
    types: ENVOY_SERVED_TYPES,
    authorize: () => undefined,
    events: {
      onNack: ({ client, typeUrl, error }) => {
        this.served.get(client.node.id)?.nacks.push(`${typeUrl}: ${error}`);
      },
    },
    removalGraceMs: 1,
    source: {
      open: ({ node }, onChange) => {
        const ofNode = this.subscribers.get(node.id) ?? new Set();
        this.subscribers.set(node.id, ofNode.add(onChange));
        return {
          current: () => this.served.get(node.id)?.snapshot,
          close: () => ofNode.delete(onChange),
        };
      },
    },
  });

  static async start(): Promise<CasePilot> {
    const pilot = new CasePilot();
    pilot.server.addService(pilot.ads.definition, pilot.ads.implementation);
    pilot.server.addService(pilot.quotas.definition, pilot.quotas.implementation as never);
    pilot.port = await new Promise<number>((resolve, reject) => {
      pilot.server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    return pilot;
  }

  /**
   * Serves to the proxy of this node id what the pod sees of the mesh.
   *
   * @returns where the proxy listens then
   */
  push(nodeId: string, mesh: MeshSnapshot, pod: PodOfCase, understandsIstioFilters: boolean): readonly SocketAddress[] {
    const address = mesh.workloads.find(({ name, namespace }) => name === pod.name && namespace === pod.namespace);
    const node = parseProxyNode(
      fromEnvoyJson(NodeSchema, {
        id: `${pod.name === GATEWAY ? 'router' : 'sidecar'}~${address?.address}~${pod.name}.${pod.namespace}~${pod.namespace}.svc.cluster.local`,
        metadata: {
          NAMESPACE: pod.namespace,
          LABELS: { ...pod.labels },
          SERVICE_ACCOUNT: pod.serviceAccount,
          INTERCEPTION_MODE: 'NONE',
          ...(understandsIstioFilters ? { LATEEN_VERSION: '0.1.0' } : {}),
        },
      }),
    );
    if (!node.ok) throw new Error(node.errors.join('; '));
    const { resources, faults } = this.cache.translate(resolveProxyView(mesh, node.proxy, true));
    if (faults.length > 0) throw new Error(faults.map(({ message }) => message).join('\n'));
    this.quotas.publish(mesh);
    this.pushes += 1;
    this.cache.startGeneration();
    this.served.set(nodeId, { snapshot: { version: `push-${this.pushes}`, resources }, nacks: [] });
    for (const notify of this.subscribers.get(nodeId) ?? []) notify();
    return [...(resources.get(TYPE_URL.listener) ?? [])].flatMap(([, { any }]) => {
      const { address } = unpackAny(any, ListenerSchema);
      if (address?.address.case !== 'socketAddress') return [];
      const { address: host, portSpecifier } = address.address.value;
      return portSpecifier.case === 'portValue' ? [{ host, port: portSpecifier.value }] : [];
    });
  }

  /** Waits until the proxy holds what it was served last. @throws Error with what it refused, or still lacks */
  async waitForTaken(nodeId: string): Promise<void> {
    const { snapshot, nacks } = this.served.get(nodeId)!;
    const lacking = () => {
      const report = this.ads.clients().findLast(({ client }) => client.node.id === nodeId);
      return notTaken(report?.types ?? [], snapshot);
    };
    try {
      await waitUntil('the configuration to be taken', () => nacks.length > 0 || lacking().length === 0);
    } catch (error) {
      throw new Error(`${nodeId}: ${(error as Error).message}: ${lacking().join('; ')}`);
    }
    if (nacks.length > 0) throw new Error(`${nodeId} refused: ${nacks.join('\n')}`);
  }

  stop(): void {
    this.ads.close();
    this.quotas.close();
    this.server.forceShutdown();
  }
}
