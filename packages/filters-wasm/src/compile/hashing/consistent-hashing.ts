// The settings of ring hash and Maglev, and their tables for each priority of a cluster.
import {
  type Cluster,
  Cluster_RingHashLbConfig_HashFunction as HashFunction,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { BlobWriter } from '../blob-writer.js';
import type { EndpointAddress } from '../cluster.js';
import type { ProblemList } from '../problems.js';
import * as H from './hash-layout.js';
import { fillMaglev } from './maglev.js';
import { buildRing } from './ring.js';

export type ConsistentHashing =
  | { readonly kind: 'ring'; readonly minSize: number; readonly maxSize: number }
  | { readonly kind: 'maglev'; readonly size: number };

/** XXH64 of a text (UTF-8), as two unsigned halves. */
export type Hash64 = (text: string, seed: number) => { readonly high: number; readonly low: number };

/** An endpoint as the tables know it. */
export interface HashedHost {
  /** What is hashed: `address:port`, or what its metadata says. */
  readonly key: string;
  readonly slot: number;
  /** Of the requests, of 1. */
  readonly share: number;
}

/** Envoy's defaults and limits. */
const DEFAULT_RING_SIZE = 1024;
const DEFAULT_MAX_RING_SIZE = 8_388_608;
const DEFAULT_MAGLEV_SIZE = 65_537;
const MAX_MAGLEV_SIZE = 5_000_011;
/** Lateen's own: a ring of this size has 2.5 MiB, of the 16 that all tables share. */
export const MAX_RING_SIZE = 262_144;

/** ring_hash_lb_config; a ring for which there is no memory is made smaller. */
export function readRingHash(problems: ProblemList, { lbConfig }: Cluster): ConsistentHashing {
  const config = lbConfig.case === 'ringHashLbConfig' ? lbConfig.value : undefined;
  const path = 'ring_hash_lb_config';
  if (config !== undefined && config.hashFunction !== HashFunction.XX_HASH) {
    problems.add(`${path}.hash_function`, 'is not supported; use XX_HASH');
  }
  const minSize = Number(config?.minimumRingSize ?? DEFAULT_RING_SIZE);
  const maxSize = Number(config?.maximumRingSize ?? DEFAULT_MAX_RING_SIZE);
  if (minSize > maxSize) problems.add(`${path}.minimum_ring_size`, 'is more than maximum_ring_size');
  return { kind: 'ring', minSize: Math.min(minSize, MAX_RING_SIZE), maxSize: Math.min(maxSize, MAX_RING_SIZE) };
}

/** maglev_lb_config. */
export function readMaglev(problems: ProblemList, { lbConfig }: Cluster): ConsistentHashing {
  const config = lbConfig.case === 'maglevLbConfig' ? lbConfig.value : undefined;
  const size = Number(config?.tableSize ?? DEFAULT_MAGLEV_SIZE);
  if (size > MAX_MAGLEV_SIZE || !isPrime(size)) {
    problems.add('maglev_lb_config.table_size', `${size} is not a prime of at most ${MAX_MAGLEV_SIZE}`);
    return { kind: 'maglev', size: DEFAULT_MAGLEV_SIZE };
  }
  return { kind: 'maglev', size };
}

function isPrime(value: number): boolean {
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return value > 1;
}

interface Host {
  readonly endpoint: EndpointAddress;
  readonly slot: number;
}

/** By weight; where localities are weighted first by theirs. Worked out as in Envoy, so that shares round alike. */
function sharesOf(hosts: readonly Host[], byLocality: boolean): HashedHost[] {
  const groups = new Map<number, Host[]>();
  for (const host of hosts) {
    const group = byLocality ? host.endpoint.locality : 0;
    groups.set(group, [...(groups.get(group) ?? []), host]);
  }
  const weightOf = (group: readonly Host[]) => (byLocality ? group[0]!.endpoint.localityWeight : 1);
  const total = [...groups.values()].reduce((sum, group) => sum + weightOf(group), 0);
  const used = [...groups.values()].filter((group) => weightOf(group) > 0);
  return used.flatMap((group) => {
    const sum = group.reduce((weights, { endpoint }) => weights + endpoint.weight, 0);
    const ofGroup = weightOf(group) / total;
    return group.map(({ endpoint, slot }) => ({
      key: keyOf(endpoint),
      slot,
      share: (endpoint.weight * ofGroup) / sum,
    }));
  });
}

/**
 * Writes the tables, in the order of priorities. `hosts` are those of all priorities, one after another; `byLocality` says
 * whether their localities are weighted.
 */
export function writeChoicesByHash(
  blob: BlobWriter,
  hashing: ConsistentHashing,
  priorities: readonly { readonly first: number; readonly count: number }[],
  hosts: readonly Host[],
  byLocality: boolean,
  hash64: Hash64,
): void {
  const records = blob.reserve(priorities.length * H.CHOICES_BYTES);
  blob.int(H.CLUSTER_CHOICES_BY_HASH, records);
  priorities.forEach(({ first, count }, priority) => {
    const group = sharesOf(hosts.slice(first, first + count), byLocality);
    const record = records + priority * H.CHOICES_BYTES;
    let slots: Uint16Array;
    if (hashing.kind === 'maglev') {
      slots = fillMaglev(group, hashing.size, hash64);
    } else {
      const ring = buildRing(group, hashing.minSize, hashing.maxSize, hash64);
      slots = ring.slots;
      blob.int(record + H.CHOICES_HASHES, blob.content(new Uint8Array(ring.hashes.buffer)));
    }
    blob.int(record + H.CHOICES_SLOTS, blob.content(new Uint8Array(slots.buffer)));
    blob.int(record + H.CHOICES_COUNT, slots.length);
  });
}

/** Envoy's key of a host: `hash_key` of its metadata for the load balancer, else its address with the port. */
function keyOf({ address, port, lbEndpoint }: EndpointAddress): string {
  const own = lbEndpoint.metadata?.filterMetadata['envoy.lb']?.hash_key;
  if (typeof own === 'string' && own !== '') return own;
  if (port === 0 && address.includes('/')) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
