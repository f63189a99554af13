// Workload groups: which workloads have registered themselves, and how they are. A workload is registered by its proxy's
// stream, and stays for a grace period after the stream has ended, so that a reconnection takes nothing away.

import { readFile } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import { writeFileAtomic } from '@lateen/identity';
import type { ConfigObject } from '@lateen/istio-config';
import type { Logger } from '@lateen/telemetry';
import type { ProxyNode } from '@lateen/translate';
import type { AdsRefusal } from '@lateen/xds-stream';
import {
  accountOf,
  CONTROLLER_ANNOTATION,
  entryNameOf,
  entryOf,
  type Registration,
  type WorkloadEntry,
  type WorkloadGroup,
} from './group-entry.js';

export interface RegistrationsOptions {
  readonly file: string;
  /** How long a workload whose stream has ended stays. */
  readonly graceMs: number;
  /** What is beyond is refused; more than any mesh has outside of its registry unless set. */
  readonly maxRegistrations?: number;
  /** The configuration of this moment. */
  readonly configs: () => readonly ConfigObject[];
  /** The pod that the registry has at an address. */
  readonly podAt: (address: string) => string | undefined;
  readonly logger: Logger;
  readonly onChange: () => void;
}

interface Registered {
  registration: Registration;
  /** Of the application, as it was told last; undefined while nothing was told. */
  health: { readonly fault: string | undefined } | undefined;
  /** The stream that stands for it; undefined in its grace period. */
  streamId: string | undefined;
  timer: NodeJS.Timeout | undefined;
}

const DEFAULT_MAX_REGISTRATIONS = 10_000;
/** What changes within this time is stored at once. */
const STORE_AFTER_MS = 100;

function isGroup(config: ConfigObject): config is WorkloadGroup {
  return config.kind === 'WorkloadGroup';
}

const keyOf = ({ namespace, group }: { readonly namespace: string; readonly group: string }) => `${namespace}/${group}`;

export class Registrations {
  /** By NAMESPACE/NAME of the WorkloadEntry. */
  readonly #registered = new Map<string, Registered>();
  readonly #byStream = new Map<string, string>();
  #writes: Promise<void> = Promise.resolve();
  /** Runs while what has changed waits to be stored. */
  #storeTimer: NodeJS.Timeout | undefined;

  private constructor(private readonly options: RegistrationsOptions) {}

  /** Who was registered before a restart has the grace period to come back. */
  static async open(options: RegistrationsOptions): Promise<Registrations> {
    const registrations = new Registrations(options);
    for (const { registration, health } of await readRegistered(options)) {
      const key = `${registration.namespace}/${entryNameOf(registration)}`;
      const registered = { registration, health, streamId: undefined, timer: undefined };
      registrations.#registered.set(key, registered);
      registrations.#expire(key, registered);
    }
    return registrations;
  }

  /**
   * Whether a proxy that asks to be registered may be. It has proved its namespace and service account by certificate;
   * the group must be of that namespace, and its template of that account.
   */
  admit(proxy: ProxyNode): AdsRefusal | undefined {
    const group = groupNameOf(proxy);
    if (group === undefined) return undefined;
    const { namespace, serviceAccount, ipAddress } = proxy;
    const found = this.#group(namespace, group);
    if (found === undefined) {
      const refused = `there is no WorkloadGroup ${group} in namespace ${namespace}; apply it, or correct AUTO_REGISTER_GROUP`;
      return { refused, code: status.NOT_FOUND };
    }
    if (accountOf(found) !== serviceAccount) {
      const refused = `workloads of WorkloadGroup ${namespace}/${group} have the service account "${accountOf(found)}", and the certificate is of "${serviceAccount}"`;
      return { refused };
    }
    const pod = this.options.podAt(ipAddress);
    if (pod !== undefined) return { refused: `the address ${ipAddress} belongs to the pod ${pod}` };
    // One that comes back takes no more room.
    const key = `${namespace}/${entryNameOf(readRegistration(proxy, group, ''))}`;
    const { maxRegistrations = DEFAULT_MAX_REGISTRATIONS } = this.options;
    if (this.#registered.size >= maxRegistrations && !this.#registered.has(key)) {
      return { refused: `${maxRegistrations} workloads are registered already`, code: status.RESOURCE_EXHAUSTED };
    }
    return undefined;
  }

  /**
   * An admitted proxy's stream is open.
   *
   * @param locality `REGION/ZONE/SUBZONE`, or empty
   */
  connect(streamId: string, proxy: ProxyNode, locality: string): void {
    const group = groupNameOf(proxy);
    if (group === undefined) return;
    const registration = readRegistration(proxy, group, locality);
    const key = `${registration.namespace}/${entryNameOf(registration)}`;
    const before = this.#registered.get(key);
    clearTimeout(before?.timer);
    const health = registration.probed ? before?.health : undefined;
    this.#registered.set(key, { registration, health, streamId, timer: undefined });
    this.#byStream.set(streamId, key);
    const { logger } = this.options;
    logger.info({ workloadEntry: key, group, proxy: proxy.id }, 'workload registered');
    const probe = this.#group(registration.namespace, group)?.spec.probe;
    if (probe !== undefined && !registration.probed) {
      logger.warn(
        { workloadEntry: key },
        'its WorkloadGroup has a probe, which its proxy does not run; it counts as well',
      );
    }
    this.#changed();
  }

  /** The stream has ended; the workload stays for a while. */
  disconnect(streamId: string): void {
    const key = this.#byStream.get(streamId);
    this.#byStream.delete(streamId);
    const registered = key === undefined ? undefined : this.#registered.get(key);
    // A stream of the same workload may have come before this one went.
    if (key === undefined || registered?.streamId !== streamId) return;
    registered.streamId = undefined;
    this.#expire(key, registered);
  }

  /** What the proxy tells of its application. */
  report(streamId: string, fault: string | undefined): void {
    const key = this.#byStream.get(streamId);
    const registered = key === undefined ? undefined : this.#registered.get(key);
    if (registered?.streamId !== streamId) return;
    const { health } = registered;
    registered.health = { fault };
    if (health !== undefined && (health.fault === undefined) === (fault === undefined)) return;
    const { logger } = this.options;
    if (fault === undefined) logger.info({ workloadEntry: key }, 'workload is healthy');
    else logger.warn({ workloadEntry: key, fault }, 'workload is not healthy; it gets no calls');
    this.#changed();
  }

  /** The WorkloadEntries of those whose group is there and is still of their account, but those that configuration has. */
  entries(configs: readonly ConfigObject[]): readonly WorkloadEntry[] {
    return this.#entriesBut(configs, () => true);
  }

  /** Those that an API server should have: all but what users themselves have written there. */
  desiredEntries(configs: readonly ConfigObject[]): readonly WorkloadEntry[] {
    return this.#entriesBut(configs, ({ metadata }) => metadata.annotations[CONTROLLER_ANNOTATION] === undefined);
  }

  #entriesBut(configs: readonly ConfigObject[], counts: (applied: ConfigObject) => boolean): readonly WorkloadEntry[] {
    if (this.#registered.size === 0) return [];
    const groups = new Map(
      configs.filter(isGroup).map((group) => [`${group.metadata.namespace}/${group.metadata.name}`, group]),
    );
    const applied = new Set(
      configs
        .filter((config) => config.kind === 'WorkloadEntry' && counts(config))
        .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
    );
    return [...this.#registered].flatMap(([key, { registration, health }]) => {
      const group = groups.get(keyOf(registration));
      if (group === undefined || accountOf(group) !== registration.serviceAccount || applied.has(key)) return [];
      const isHealthy = health === undefined ? !registration.probed : health.fault === undefined;
      return [entryOf(group, registration, isHealthy)];
    });
  }

  /** Resolves when what is known is stored, or was told to have failed. */
  async close(): Promise<void> {
    for (const { timer } of this.#registered.values()) clearTimeout(timer);
    if (this.#storeTimer !== undefined) this.#store();
    await this.#writes;
  }

  #group(namespace: string, name: string): WorkloadGroup | undefined {
    return this.options
      .configs()
      .filter(isGroup)
      .find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
  }

  #expire(key: string, registered: Registered): void {
    registered.timer = setTimeout(() => {
      if (this.#registered.get(key) !== registered) return;
      this.#registered.delete(key);
      this.options.logger.info({ workloadEntry: key }, 'workload is gone');
      this.#changed();
    }, this.options.graceMs);
    registered.timer.unref();
  }

  #changed(): void {
    this.options.onChange();
    this.#storeTimer ??= setTimeout(() => this.#store(), STORE_AFTER_MS);
  }

  /** Many workloads may come at once, and each would write all of them. What a crash loses registers again. */
  #store(): void {
    clearTimeout(this.#storeTimer);
    this.#storeTimer = undefined;
    const { file, logger } = this.options;
    this.#writes = this.#writes
      .then(() => {
        const stored = [...this.#registered.values()].map(({ registration, health }) => ({ registration, health }));
        return writeFileAtomic(file, `${JSON.stringify(stored, undefined, 1)}\n`);
      })
      .catch((error: Error) => {
        // They are served; only a restart would miss them until they connect again.
        logger.error(
          { error, file },
          'registered workloads could not be stored; free space or fix the state directory',
        );
      });
  }
}

/** The group that a proxy asks to be registered in. */
export function groupNameOf({ type, metadata }: ProxyNode): string | undefined {
  const name = metadata.AUTO_REGISTER_GROUP;
  return type === 'sidecar' && typeof name === 'string' && name !== '' ? name : undefined;
}

function readRegistration(proxy: ProxyNode, group: string, locality: string): Registration {
  const { namespace, serviceAccount, ipAddress, labels, metadata } = proxy;
  const settings = metadata.PROXY_CONFIG;
  const probe =
    typeof settings === 'object' && settings !== null && !Array.isArray(settings) && settings.readinessProbe;
  return {
    group,
    namespace,
    serviceAccount,
    address: ipAddress,
    labels,
    locality,
    probed: typeof probe === 'object' && probe !== null,
    connectedAtMs: Date.now(),
  };
}

type Stored = Pick<Registered, 'registration' | 'health'>;

/** What is not there, or cannot be read, is left out: who is connected registers again. */
async function readRegistered({ file, logger }: RegistrationsOptions): Promise<readonly Stored[]> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Stored[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      logger.warn({ file, reason: (error as Error).message }, 'registered workloads are not known until they connect');
    }
    return [];
  }
}
