// Discovery: from a name to addresses. Asks as Envoy's resolver does: the hosts file first, then DNS with the search list.

import { lookup, Resolver } from 'node:dns/promises';
import { HostsFile, SearchDomains } from './system-names.js';

/** What a name stands for at this moment. */
export interface Resolution {
  /** Without duplicates; empty where the name has no address of this family. */
  readonly addresses: readonly string[];
  /** The shortest time to live of the records; undefined where they have none (the hosts file). */
  readonly ttlMs: number | undefined;
}

export interface NameResolver {
  /** @throws Error where nobody could answer; that a name does not exist is an answer */
  resolve(name: string, family: 4 | 6): Promise<Resolution>;
  /** Ends what is under way. */
  close(): void;
}

/** Which addresses of a name are wanted. */
export interface WantedFamilies {
  /** In the order in which they are tried. */
  readonly families: readonly (4 | 6)[];
  /** All of them, not the first that has any. */
  readonly allFamilies: boolean;
}

/** As Envoy: of two families the second is only asked for where the first gave nothing, unless all are wanted. */
export async function resolveName(
  resolver: NameResolver,
  { families, allFamilies }: WantedFamilies,
  host: string,
): Promise<Resolution> {
  if (allFamilies) {
    const results = await Promise.allSettled(families.map((family) => resolver.resolve(host, family)));
    const good = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const [first] = results;
    if (good.length === 0 && first?.status === 'rejected') throw first.reason;
    const ttls = good.flatMap(({ ttlMs }) => (ttlMs === undefined ? [] : [ttlMs]));
    return {
      addresses: good.flatMap(({ addresses }) => addresses),
      ttlMs: ttls.length === 0 ? undefined : Math.min(...ttls),
    };
  }
  const [first, second] = families;
  if (first === undefined) throw new Error('no address family is wanted');
  if (second === undefined) return resolver.resolve(host, first);
  const preferred = await resolver.resolve(host, first).catch(() => undefined);
  return preferred !== undefined && preferred.addresses.length > 0 ? preferred : resolver.resolve(host, second);
}

export interface DnsResolverOptions {
  /** `ADDRESS:PORT` of the servers to ask; those of the system where there are none. */
  readonly servers: readonly string[];
  /** Take a name as it is, without the system's search list. */
  readonly exactNames: boolean;
  readonly hosts?: HostsFile;
  readonly search?: SearchDomains;
}

/** Answers that say that there is no such record. */
const NO_RECORDS: ReadonlySet<string | undefined> = new Set(['ENOTFOUND', 'ENODATA']);
const LOOPBACK = { 4: '127.0.0.1', 6: '::1' } as const;

/** The c-ares library, as Envoy's default resolver. */
export class DnsResolver implements NameResolver {
  readonly #resolver = new Resolver();
  readonly #hosts: HostsFile;
  readonly #search: SearchDomains;

  constructor(private readonly options: DnsResolverOptions) {
    this.#hosts = options.hosts ?? new HostsFile();
    this.#search = options.search ?? new SearchDomains();
    if (options.servers.length > 0) this.#resolver.setServers([...options.servers]);
  }

  async resolve(name: string, family: 4 | 6): Promise<Resolution> {
    const local = this.#hosts.lookup(name, family);
    if (local.length > 0) return { addresses: local, ttlMs: undefined };
    // RFC 6761: never asked of a server.
    if (/^(?:.*\.)?localhost\.?$/i.test(name)) return { addresses: [LOOPBACK[family]], ttlMs: undefined };
    const candidates = this.options.exactNames ? [name] : this.#search.candidates(name);
    for (const candidate of candidates) {
      try {
        const records =
          family === 4
            ? await this.#resolver.resolve4(candidate, { ttl: true })
            : await this.#resolver.resolve6(candidate, { ttl: true });
        if (records.length === 0) continue;
        return {
          addresses: [...new Set(records.map(({ address }) => address))],
          ttlMs: Math.min(...records.map(({ ttl }) => ttl)) * 1000,
        };
      } catch (error) {
        if (!NO_RECORDS.has((error as NodeJS.ErrnoException).code)) throw error;
      }
    }
    return { addresses: [], ttlMs: undefined };
  }

  close(): void {
    this.#resolver.cancel();
  }
}

/** The system's getaddrinfo, with everything that the host is set up to use; it knows no times to live. */
export class SystemResolver implements NameResolver {
  async resolve(name: string, family: 4 | 6): Promise<Resolution> {
    try {
      const found = await lookup(name, { all: true, family });
      return { addresses: [...new Set(found.map(({ address }) => address))], ttlMs: undefined };
    } catch (error) {
      if (NO_RECORDS.has((error as NodeJS.ErrnoException).code)) return { addresses: [], ttlMs: undefined };
      throw error;
    }
  }

  close(): void {}
}
