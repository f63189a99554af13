// Discovery: what the system's files say about names: the hosts file, and the search list of resolv.conf. Read again when
// they change.

import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';

export interface SearchList {
  /** In lower case. */
  readonly domains: readonly string[];
  /** A name with at least this many dots is tried as it is before the domains are. */
  readonly ndots: number;
}

/** A text file's meaning, read again when the file was replaced or rewritten; an absent file is an empty one. */
class FollowedText<T> {
  #stamp: string | undefined;
  #value: T;

  constructor(
    private readonly file: string,
    private readonly parse: (text: string) => T,
  ) {
    this.#value = parse('');
  }

  get value(): T {
    const stat = statSync(this.file, { bigint: true, throwIfNoEntry: false });
    const stamp = stat === undefined ? 'absent' : `${stat.ino}:${stat.mtimeNs}:${stat.size}`;
    if (stamp !== this.#stamp) {
      this.#value = this.parse(stat === undefined ? '' : readFileSync(this.file, 'utf8'));
      this.#stamp = stamp;
    }
    return this.#value;
  }
}

/** hosts(5): addresses by lower-case name, in the order of the file. */
export class HostsFile {
  readonly #text: FollowedText<ReadonlyMap<string, readonly string[]>>;

  constructor(file = '/etc/hosts') {
    this.#text = new FollowedText(file, parseHosts);
  }

  lookup(name: string, family: 4 | 6): readonly string[] {
    const addresses = this.#text.value.get(name.toLowerCase()) ?? [];
    return addresses.filter((address) => isIP(address) === family);
  }
}

/** resolv.conf(5): only what names are completed with; the servers are the resolver library's matter. */
export class SearchDomains {
  readonly #text: FollowedText<SearchList>;

  constructor(file = '/etc/resolv.conf') {
    this.#text = new FollowedText(file, parseSearchList);
  }

  get domains(): readonly string[] {
    return this.#text.value.domains;
  }

  /** The names to ask for, in order. A name with a dot at its end is complete. */
  candidates(name: string): string[] {
    if (name.endsWith('.')) return [name.slice(0, -1)];
    const { domains, ndots } = this.#text.value;
    const completed = domains.map((domain) => `${name}.${domain}`);
    const dots = name.split('.').length - 1;
    return dots >= ndots ? [name, ...completed] : [...completed, name];
  }
}

/** resolv.conf(5): the servers that are asked, in their order. */
export class NameServers {
  readonly #text: FollowedText<readonly string[]>;

  constructor(file = '/etc/resolv.conf') {
    this.#text = new FollowedText(file, parseNameServers);
  }

  get addresses(): readonly string[] {
    return this.#text.value;
  }
}

function parseNameServers(text: string): readonly string[] {
  const lines = text.split('\n').map((line) =>
    line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/),
  );
  return lines.flatMap(([key, address = '']) => (key === 'nameserver' && isIP(address) !== 0 ? [address] : []));
}

function parseHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const addresses = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (address === undefined || isIP(address) === 0) continue;
    for (const name of names) {
      const known = addresses.get(name.toLowerCase());
      if (known === undefined) addresses.set(name.toLowerCase(), [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  return addresses;
}

function parseSearchList(text: string): SearchList {
  let domains: string[] = [];
  let ndots = 1;
  for (const line of text.split('\n')) {
    const [key, ...values] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/);
    // The last of several lines counts.
    if (key === 'search' || key === 'domain')
      domains = values.map((domain) => domain.replace(/\.$/, '').toLowerCase()).filter(Boolean);
    if (key !== 'options') continue;
    for (const option of values) if (option.startsWith('ndots:')) ndots = Number(option.slice('ndots:'.length)) || 0;
  }
  return { domains, ndots };
}
