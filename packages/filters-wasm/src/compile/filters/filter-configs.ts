// What a virtual host or a route has in place of the configuration of the listener's filters (typed_per_filter_config).
import { fromBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { FilterConfigSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { CorsPolicySchema } from '@lateen/xds-proto/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { HTTPFaultSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { LocalRateLimitSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import { RateLimitPerRouteSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js';
import { FILTER_ENTRY_BYTES } from '../../table-layout.js';
import type { BlobWriter } from '../blob-writer.js';
import type { CompileContext } from '../compile-context.js';
import { compileLimitServiceOfRoute } from '../limits/limit-service.js';
import { FILTER_KINDS, type FilterKind } from '../limits/limit-slots.js';
import { writeRateLimit } from '../limits/rate-limit.js';
import { type ActionsSource, compileRateLimitActions } from '../limits/rate-limit-actions.js';
import { join } from '../supported-fields.js';
import { compileCors } from './cors.js';
import { compileFault } from './fault.js';

/** A record for a filter of this kind; place 0 = the filter does nothing here. */
interface FilterEntry {
  readonly kind: FilterKind;
  readonly place: number;
}

/**
 * Writes offset and count of the list to two neighbouring fields. `owner` is a stable name of the host or route, `actions`
 * what it is to a rate limit service.
 */
export function writeFilterConfigs(
  context: CompileContext,
  blob: BlobWriter,
  field: number,
  path: string,
  configs: Readonly<Record<string, Any>>,
  owner: string,
  actions: ActionsSource,
): void {
  const names = Object.keys(configs).sort();
  const entries = names.flatMap((name) =>
    readConfig(context, join(path, `typed_per_filter_config["${name}"]`), configs[name] as Any, `${owner} ${name}`).map(
      ({ kind, place }) => ({ id: context.limitSlots.filterId(name, kind), place }),
    ),
  );
  const described = compileRateLimitActions(context, actions);
  if (described !== undefined) {
    const place = context.internPolicy(described);
    entries.push({ id: context.limitSlots.filterId('', 'rate limit actions'), place });
  }
  if (entries.length === 0) return;
  const list = blob.reserve(entries.length * FILTER_ENTRY_BYTES);
  blob.int(field, list);
  blob.int(field + 4, entries.length);
  entries.forEach(({ id, place }, index) => {
    blob.int(list + index * FILTER_ENTRY_BYTES, id);
    blob.int(list + index * FILTER_ENTRY_BYTES + 4, place);
  });
}

function readConfig(context: CompileContext, path: string, any: Any, bucketName: string): FilterEntry[] {
  const { problems } = context;
  const typeName = any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1);
  const entry = (kind: FilterKind, record: Uint8Array | undefined): FilterEntry[] => [
    { kind, place: record === undefined ? 0 : context.internPolicy(record) },
  ];
  try {
    if (typeName === FilterConfigSchema.typeName) {
      const { config, disabled } = fromBinary(FilterConfigSchema, any.value);
      // Which kind of filter has the name is the listener's affair.
      if (disabled) return FILTER_KINDS.map((kind) => ({ kind, place: 0 }));
      if (config === undefined) problems.add(path, 'has neither config nor disabled');
      return config === undefined ? [] : readConfig(context, join(path, 'config'), config, bucketName);
    }
    if (typeName === LocalRateLimitSchema.typeName) {
      const limit = writeRateLimit(
        { ...context, slots: context.limitSlots },
        path,
        fromBinary(LocalRateLimitSchema, any.value),
        context.bucketName(bucketName),
        'route',
      );
      return entry('rate limit', limit);
    }
    if (typeName === RateLimitPerRouteSchema.typeName) {
      const config = fromBinary(RateLimitPerRouteSchema, any.value);
      return entry('limit service', compileLimitServiceOfRoute(problems, path, config));
    }
    if (typeName === HTTPFaultSchema.typeName) {
      return entry('fault', compileFault(problems, path, fromBinary(HTTPFaultSchema, any.value)));
    }
    if (typeName === CorsPolicySchema.typeName) {
      return entry('cors', compileCors(problems, path, fromBinary(CorsPolicySchema, any.value), context.hashName));
    }
  } catch (error) {
    problems.add(path, `does not decode: ${(error as Error).message}`);
    return [];
  }
  problems.add(path, `${typeName || 'a configuration without a type'} is not supported`);
  return [];
}
