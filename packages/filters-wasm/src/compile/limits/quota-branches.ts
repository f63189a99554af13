// The branches of quota filters by number: what the core counts by number, the quota service knows by these names.
import type { GrpcService } from '@lateen/xds-proto/envoy/config/core/v3/grpc_service_pb.js';

/** One kind of bucket of one filter. */
export interface QuotaBranch {
  readonly id: number;
  /** The quota service that is asked, and for which of its domains. */
  readonly service: GrpcService;
  readonly domain: string;
  /** Names of the parts of a bucket's id, in the order of the core. */
  readonly keys: readonly string[];
  readonly reportingIntervalMs: number;
  /** How long a quota is used after its time to live; `reuse` = until there is another, else as if none were assigned. */
  readonly expired: 'reuse' | 'fallback';
  readonly expiredForMs: number;
}

export interface QuotaBranches {
  /** Number of the branch that says this; the same for equal ones, so that buckets outlive a new configuration. */
  idOf(key: string, make: (id: number) => QuotaBranch): number;
  branch(id: number): QuotaBranch | undefined;
}

export function createQuotaBranches(): QuotaBranches {
  const ids = new Map<string, number>();
  const branches: QuotaBranch[] = [];
  return {
    idOf(key, make) {
      let id = ids.get(key);
      if (id === undefined) {
        id = branches.length + 1;
        branches.push(make(id));
        ids.set(key, id);
      }
      return id;
    },
    branch: (id) => branches[id - 1],
  };
}
