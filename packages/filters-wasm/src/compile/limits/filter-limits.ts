// What a virtual host or a route has in place of the rate limits of the listener's filters (typed_per_filter_config).
import { fromBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { FilterConfigSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { LocalRateLimitSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import { FILTER_LIMIT_BYTES } from '../../limit-layout.js';
import type { BlobWriter } from '../blob-writer.js';
import type { CompileContext } from '../compile-context.js';
import { join } from '../supported-fields.js';
import { writeRateLimit } from './rate-limit.js';

/** Writes offset and count of the list to two neighbouring fields. `owner` is a stable name of the host or route. */
export function writeFilterLimits(
  context: CompileContext,
  blob: BlobWriter,
  field: number,
  path: string,
  configs: Readonly<Record<string, Any>>,
  owner: string,
): void {
  const names = Object.keys(configs).sort();
  if (names.length === 0) return;
  const list = blob.reserve(names.length * FILTER_LIMIT_BYTES);
  blob.int(field, list);
  blob.int(field + 4, names.length);
  names.forEach((name, index) => {
    const entry = list + index * FILTER_LIMIT_BYTES;
    blob.int(entry, context.limitSlots.filterId(name));
    blob.int(
      entry + 4,
      readLimit(context, join(path, `typed_per_filter_config["${name}"]`), configs[name] as Any, `${owner} ${name}`),
    );
  });
}

/** Place of the limit, 0 = none. */
function readLimit(context: CompileContext, path: string, any: Any, bucketName: string): number {
  const { problems } = context;
  const typeName = any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1);
  try {
    if (typeName === FilterConfigSchema.typeName) {
      const { config, disabled } = fromBinary(FilterConfigSchema, any.value);
      if (disabled) return 0;
      if (config === undefined) problems.add(path, 'has neither config nor disabled');
      return config === undefined ? 0 : readLimit(context, join(path, 'config'), config, bucketName);
    }
    if (typeName === LocalRateLimitSchema.typeName) {
      const record = writeRateLimit(
        { problems, slots: context.limitSlots, nowMs: context.nowMs, hashName: context.hashName },
        path,
        fromBinary(LocalRateLimitSchema, any.value),
        context.bucketName(bucketName),
        'route',
      );
      return record === undefined ? 0 : context.internPolicy(record);
    }
  } catch (error) {
    problems.add(path, `does not decode: ${(error as Error).message}`);
    return 0;
  }
  problems.add(path, `${typeName || 'a configuration without a type'} is not supported`);
  return 0;
}
