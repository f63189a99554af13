// Supervisor: what sidecars are started with, asked of Galley at each start, as an injector would. Where Galley does not
// answer, what it said last counts.

import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { StaticIdentity, type WorkloadIdentity } from '@lateen/identity';
import { type ConfigObject, type MeshConfig, parseMeshConfig } from '@lateen/istio-config';
import type { Logger } from '@lateen/telemetry';
import { type ProxySettings, type ProxySettingsTarget, resolveProxySettings } from '@lateen/translate';
import type { ConfigResource } from '@lateen/xds-proto/lateen/config/v1/resource_pb.js';
import type { AdminEndpoint } from '../mesh/control-plane.js';
import { withGalley } from '../mesh/galley-client.js';
import { SYSTEM_NAMESPACE } from './pods/gateway-pod.js';

export interface ProxySettingsSourceOptions {
  readonly galley: AdminEndpoint;
  /** Who the supervisor is; undefined while it has no certificate yet. */
  readonly identity: () => WorkloadIdentity | undefined;
  readonly meshConfigFile: string;
  readonly logger: Logger;
}

const CALL_TIMEOUT_MS = 1_000;
/** A mesh that is just starting: its Galley comes up beside the first sidecars. */
const FIRST_ANSWER_MS = 10_000;
const RETRY_MS = 100;
/** Galley has what was announced long before; what it has not by then was taken back, or never reached it. */
const ANNOUNCED_MS = 30_000;

type ProxyConfigs = readonly ConfigObject<'ProxyConfig'>[];

export class ProxySettingsSource {
  #known: ProxyConfigs | undefined;
  #deadlineMs: number | undefined;
  /** By namespace and name. */
  readonly #announced = new Map<string, { readonly config: ConfigObject<'ProxyConfig'>; readonly untilMs: number }>();

  constructor(private readonly options: ProxySettingsSourceOptions) {}

  /** ProxyConfigs that are being applied together with pods, which are about to start. */
  announce(proxyConfigs: ProxyConfigs): void {
    const untilMs = Date.now() + ANNOUNCED_MS;
    for (const config of proxyConfigs) this.#announced.set(keyOf(config), { config, untilMs });
  }

  /** What a pod's sidecar is to be started with now. Never rejects. */
  async resolve(target: ProxySettingsTarget): Promise<ProxySettings> {
    const [stored, meshConfig] = await Promise.all([this.#stored(), this.#meshConfig()]);
    const proxyConfigs = this.#withAnnounced(stored);
    const rootNamespace = meshConfig.rootNamespace || SYSTEM_NAMESPACE;
    return resolveProxySettings({ meshConfig, rootNamespace, proxyConfigs }, target);
  }

  #withAnnounced(stored: ProxyConfigs): ProxyConfigs {
    const byKey = new Map(stored.map((config) => [keyOf(config), config]));
    for (const [key, { config, untilMs }] of this.#announced) {
      if (Date.now() > untilMs || isDeepStrictEqual(byKey.get(key)?.spec, config.spec)) this.#announced.delete(key);
      // It is as old as the one that it takes the place of.
      else byKey.set(key, { ...config, metadata: byKey.get(key)?.metadata ?? config.metadata });
    }
    return [...byKey.values()];
  }

  async #stored(): Promise<ProxyConfigs> {
    this.#deadlineMs ??= Date.now() + FIRST_ANSWER_MS;
    for (;;) {
      try {
        this.#known = await this.#ask();
        return this.#known;
      } catch (error) {
        if (this.#known !== undefined || Date.now() > this.#deadlineMs) {
          const reason = (error as Error).message;
          this.options.logger.warn(
            { reason },
            'galley does not say which ProxyConfigs there are; the last known count',
          );
          return this.#known ?? [];
        }
      }
      // A mesh that ends meanwhile is not kept waiting.
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
    }
  }

  async #ask(): Promise<ProxyConfigs> {
    const { galley, identity } = this.options;
    const current = identity();
    if (current === undefined) throw new Error('the supervisor has no certificate yet');
    const controlPlane = {
      endpoint: () => galley,
      identity: () => new StaticIdentity(current),
      advice: () => 'it is tried again',
    };
    const list = await withGalley(controlPlane, (client) => client.list({ kind: 'ProxyConfig' }), CALL_TIMEOUT_MS);
    return list.resources.map(toProxyConfig);
  }

  /** The file of the mesh; what is wrong in it Galley tells. */
  async #meshConfig(): Promise<MeshConfig> {
    const { meshConfigFile } = this.options;
    const content = await readFile(meshConfigFile, 'utf8').catch(() => '');
    return parseMeshConfig({ name: meshConfigFile, content }).config ?? {};
  }
}

const keyOf = ({ metadata }: ConfigObject) => `${metadata.namespace}/${metadata.name}`;

function toProxyConfig({ apiVersion, metadata, specJson, source }: ConfigResource): ConfigObject<'ProxyConfig'> {
  const { name = '', namespace = '', labels = {}, annotations = {}, creationTime } = metadata ?? {};
  const creationTimestamp =
    creationTime === undefined ? undefined : new Date(Number(creationTime.seconds) * 1000).toISOString();
  return {
    apiVersion,
    kind: 'ProxyConfig',
    metadata: { name, namespace, labels, annotations, ...(creationTimestamp ? { creationTimestamp } : {}) },
    // Galley keeps only what it has validated.
    spec: JSON.parse(specJson) as ConfigObject<'ProxyConfig'>['spec'],
    source: { file: source?.file ?? '', line: source?.line ?? 0, column: source?.column ?? 0 },
  };
}
