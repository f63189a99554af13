// A cluster's endpoints by priority and, where those have weights, by locality; the core works out their shares.
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import * as T from '../../table-layout.js';
import type { BlobWriter } from '../blob-writer.js';
import type { EndpointAddress } from '../cluster.js';
import * as P from './priority-layout.js';

/** Endpoints of one priority. */
export interface PriorityRange {
  readonly first: number;
  readonly count: number;
}

/** The weights of localities count: without it only those of the endpoints do, as in Envoy. */
export function isLocalityWeighted({ commonLbConfig }: Cluster): boolean {
  return commonLbConfig?.localityConfigSpecifier.case === 'localityWeightedLbConfig';
}

/** Places where `keyOf` changes. */
function ranges(endpoints: readonly EndpointAddress[], keyOf: (endpoint: EndpointAddress) => number): PriorityRange[] {
  const starts = [...endpoints.keys()].filter(
    (index) => index === 0 || keyOf(endpoints[index - 1]!) !== keyOf(endpoints[index]!),
  );
  return starts.map((first, index) => ({ first, count: (starts[index + 1] ?? endpoints.length) - first }));
}

/** @param endpoints in the order of their priorities, and of their localities within one */
export function writePriorities(
  blob: BlobWriter,
  endpoints: readonly EndpointAddress[],
  weighted: boolean,
): readonly PriorityRange[] {
  const priorities = ranges(endpoints, ({ priority }) => priority);
  const records = blob.reserve(priorities.length * P.PRIORITY_BYTES);
  blob.int(T.CLUSTER_PRIORITIES, records);
  blob.int(T.CLUSTER_PRIORITY_COUNT, priorities.length);
  const localities = !weighted
    ? []
    : priorities.map(({ first, count }) =>
        ranges(endpoints.slice(first, first + count), ({ locality }) => locality).map((range) => ({
          first: first + range.first,
          count: range.count,
          before: endpoints.slice(first, first + range.first).reduce((sum, { weight }) => sum + weight, 0),
        })),
      );
  priorities.forEach(({ first, count }, index) => {
    const at = records + index * P.PRIORITY_BYTES;
    blob.int(at + P.PRIORITY_FIRST, first);
    blob.int(at + P.PRIORITY_COUNT, count);
    blob.int(at + P.PRIORITY_LOCALITIES, localities.slice(0, index).flat().length);
    blob.int(at + P.PRIORITY_LOCALITY_COUNT, localities[index]?.length ?? 0);
  });
  const all = localities.flat();
  // Sums of shares are u64, and read as such.
  const list = blob.reserve(all.length * P.LOCALITY_BYTES);
  blob.int(P.CLUSTER_LOCALITIES, list);
  all.forEach(({ first, count, before }, index) => {
    const at = list + index * P.LOCALITY_BYTES;
    blob.int(at + P.LOCALITY_FIRST, first);
    blob.int(at + P.LOCALITY_COUNT, count);
    blob.int(at + P.LOCALITY_WEIGHT, endpoints[first]!.localityWeight | 0);
    blob.int(at + P.LOCALITY_WEIGHT_BEFORE, before | 0);
  });
  return priorities;
}
