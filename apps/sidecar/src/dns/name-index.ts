// DNS: the mesh's names and their addresses, found by every form in which an application in this namespace may ask for them.

import { isIP } from 'node:net';
import type { NameTable } from '@lateen/xds-proto/istio/networking/nds/v1/nds_pb.js';

export interface KnownName {
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

export interface FoundName extends KnownName {
  /** The name that has the addresses, where it is another one than was asked for. */
  readonly canonical: string | undefined;
}

/** Names are in lower case, without a dot at their end. */
export class NameIndex {
  private readonly names: ReadonlyMap<string, KnownName>;
  private readonly hasWildcards: boolean;

  /** @param namespace of the pod: what it calls by short names is there */
  constructor(table: NameTable, namespace: string) {
    const names = new Map<string, KnownName>();
    for (const [host, { ips, shortname, namespace: of }] of Object.entries(table.table)) {
      const known = {
        ipv4: ips.filter((address) => isIP(address) === 4),
        ipv6: ips.filter((address) => isIP(address) === 6),
      };
      const forms = shortname === '' ? [] : [`${shortname}.${of}`, `${shortname}.${of}.svc`];
      if (shortname !== '' && of === namespace) forms.push(shortname);
      // What is declared by a whole name comes before what is made of another one.
      for (const form of forms) if (!names.has(form.toLowerCase())) names.set(form.toLowerCase(), known);
      names.set(host.toLowerCase(), known);
    }
    this.names = names;
    this.hasWildcards = [...names.keys()].some((name) => name.startsWith('*.'));
  }

  get size(): number {
    return this.names.size;
  }

  /** @param searched domains that the pod's resolver puts behind names, before it asks for them as they are */
  find(asked: string, searched: readonly string[]): FoundName | undefined {
    const name = asked.toLowerCase();
    const known = this.lookUp(name);
    if (known !== undefined) return { ...known, canonical: undefined };
    for (const domain of searched) {
      if (!name.endsWith(`.${domain}`)) continue;
      const base = name.slice(0, -domain.length - 1);
      const found = this.lookUp(base);
      if (found !== undefined) return { ...found, canonical: base };
    }
    return undefined;
  }

  private lookUp(name: string): KnownName | undefined {
    const exact = this.names.get(name);
    if (exact !== undefined || !this.hasWildcards) return exact;
    for (let dot = name.indexOf('.'); dot > 0; dot = name.indexOf('.', dot + 1)) {
      const known = this.names.get(`*${name.slice(dot)}`);
      if (known !== undefined) return known;
    }
    return undefined;
  }
}
