// Build: the names that an intercepted proxy answers its application's DNS questions from, as Istio's table has them.

import { create } from '@bufbuild/protobuf';
import {
  type NameTable,
  type NameTable_NameInfo,
  NameTable_NameInfoSchema,
  NameTableSchema,
} from '@lateen/xds-proto/istio/networking/nds/v1/nds_pb.js';
import type { ProxyView } from '../proxy-view.js';
import type { ClientScope } from '../resolve/client-scope.js';
import { chosenAddresses } from '../resolve/interception/endpoint-addresses.js';
import { type Interception, serviceAddresses } from '../resolve/interception/interception.js';
import type { MeshService } from '../resolve/mesh-index.js';
import { isIpAddress } from '../resolve/services/workload-entries.js';
import { stableHash } from '../stable-hash.js';
import type { ResourcePart } from './recipe.js';

/** The one resource of its type. */
export const NAME_TABLE = 'name-table';

const NOTHING: ResourcePart<NameTable> = { key: 'none', list: () => ({ recipes: [], problems: [] }) };

const UNNAMED = { shortname: '', namespace: '' };

type Entry = Pick<NameTable_NameInfo, 'ips' | 'registry' | 'shortname' | 'namespace'>;

/** Addresses that a client is told: of the service, else of who answers where it chooses itself. */
function addressesOf(service: MeshService, interception: Interception): readonly string[] {
  const own = serviceAddresses(service, interception);
  return own.length > 0 ? own : chosenAddresses(service, interception);
}

/** Names without an address are left out: the question goes on to the name server of the pod. */
function entriesOf({ services }: ClientScope, interception: Interception): ReadonlyMap<string, Entry> {
  const entries = new Map<string, Entry>();
  for (const service of services) {
    const ips = addressesOf(service, interception).filter(isIpAddress);
    if (ips.length === 0) continue;
    const { hostname, kind, name, namespace, aliases = [] } = service;
    const ofMesh = (names: Pick<Entry, 'shortname' | 'namespace'>) => ({ ips, registry: 'Kubernetes', ...names });
    // Of these the short forms are made, by the namespace of who asks.
    const own = kind === 'Service' ? ofMesh({ shortname: name, namespace }) : { ips, registry: 'External', ...UNNAMED };
    entries.set(hostname, own);
    for (const alias of aliases)
      entries.set(alias.hostname, ofMesh({ shortname: alias.name, namespace: alias.namespace }));
  }
  return entries;
}

interface KnownTable {
  readonly hash: string;
  readonly entries: ReadonlyMap<string, Entry>;
}

const known = new WeakMap<ClientScope, Map<string, KnownTable>>();

function tableOf(scope: ClientScope, interception: Interception): KnownTable {
  const ofScope = known.get(scope) ?? new Map<string, KnownTable>();
  known.set(scope, ofScope);
  let table = ofScope.get(interception.key);
  if (table === undefined) {
    const entries = entriesOf(scope, interception);
    table = { entries, hash: stableHash([...entries]) };
    ofScope.set(interception.key, table);
  }
  return table;
}

/** The table of a proxy: what its Sidecar and `exportTo` let it see. Only an intercepted one answers for names. */
export function nameTablePart({ scope, interception }: ProxyView): ResourcePart<NameTable> {
  if (interception === undefined) return NOTHING;
  const { hash, entries } = tableOf(scope, interception);
  const build = () => {
    const rows = [...entries].map(([host, entry]) => [
      host,
      create(NameTable_NameInfoSchema, { ...entry, ips: [...entry.ips] }),
    ]);
    return create(NameTableSchema, { table: Object.fromEntries(rows) as Record<string, NameTable_NameInfo> });
  };
  const key = `names/${hash}`;
  return { key, list: () => ({ recipes: [{ name: NAME_TABLE, key, build }], problems: [] }) };
}
