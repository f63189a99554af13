// Registry: the hosts of ServiceEntries, for which pods have addresses as they have for services. Pilot says which there
// are; they are kept on disk, so that applications get them in their environment also before Pilot is up.

import { existsSync, readFileSync } from 'node:fs';
import { writeFileAtomic } from '@lateen/identity';
import { type ConfigObject, isHttpProtocol, protocolFromName } from '@lateen/istio-config';

/** A host that is called by an address of the pod's own. */
export interface EntryHost {
  /** Full name, or a wildcard, all of whose hosts are called at one address. */
  readonly host: string;
  /** Namespaces whose pods see it; empty: all. */
  readonly namespaces: readonly string[];
  readonly ports: readonly { readonly name: string; readonly port: number }[];
}

export class EntryHosts {
  #known: readonly EntryHost[];
  /** Of documents that are being applied: Pilot does not know them yet, and the pods are about to start. */
  #announced: readonly EntryHost[] = [];

  constructor(private readonly file: string) {
    this.#known = read(file);
  }

  /** What pods have addresses for, by host. */
  get all(): readonly EntryHost[] {
    const known = new Set(this.#known.map(({ host }) => host));
    return [...this.#known, ...this.#announced.filter(({ host }) => !known.has(host))];
  }

  /** Those that pods of a namespace see. */
  seenFrom(namespace: string): readonly EntryHost[] {
    return this.all.filter(({ namespaces }) => namespaces.length === 0 || namespaces.includes(namespace));
  }

  /** Takes the list that Pilot sent; durable when it resolves to true, and the same as before where it is false. */
  async replace(hosts: readonly EntryHost[]): Promise<boolean> {
    if (JSON.stringify(hosts) === JSON.stringify(this.#known)) return false;
    this.#known = hosts;
    await writeFileAtomic(this.file, `${JSON.stringify(hosts, null, 2)}\n`);
    return true;
  }

  /** The hosts of ServiceEntries that are being applied together with pods. */
  announce(entries: readonly ConfigObject<'ServiceEntry'>[]): void {
    this.#announced = entries.flatMap(({ spec, metadata }) => {
      const targets = (spec.exportTo ?? ['*']).map((target) => (target === '.' ? metadata.namespace : target));
      return spec.hosts.flatMap((host) => {
        const ports = announcedPorts(host, spec).map(({ name, number }) => ({ name, port: number }));
        const namespaces = targets.includes('*') ? [] : targets;
        return ports.length === 0 ? [] : [{ host: host.toLowerCase(), namespaces, ports }];
      });
    });
  }
}

/** As Pilot has it: in plain bytes nothing says which host of a wildcard they are for. */
function announcedPorts(host: string, { ports = [], resolution = 'NONE' }: ConfigObject<'ServiceEntry'>['spec']) {
  if (!host.startsWith('*') || (resolution !== 'NONE' && resolution !== 'DYNAMIC_DNS')) return ports;
  return ports.filter(({ protocol = '' }) => {
    const spoken = protocolFromName(protocol);
    return spoken === 'tls' || spoken === 'https' || (spoken !== undefined && isHttpProtocol(spoken));
  });
}

/** @throws Error naming the file when it is damaged */
function read(file: string): readonly EntryHost[] {
  if (!existsSync(file)) return [];
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as readonly EntryHost[];
  } catch (error) {
    throw new Error(`${file} is damaged (${(error as Error).message}); delete it, Pilot says again what it holds`);
  }
}
