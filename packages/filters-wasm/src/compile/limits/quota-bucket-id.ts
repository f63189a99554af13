// What a bucket's id is made of (bucket_id_builder): constants, headers, the client's certificate and address.

import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { TypedExtensionConfig } from '@lateen/xds-proto/envoy/config/core/v3/extension_pb.js';
import type { RateLimitQuotaBucketSettings_BucketIdBuilder } from '@lateen/xds-proto/envoy/extensions/filters/http/rate_limit_quota/v3/rate_limit_quota_pb.js';
import { DynamicMetadataInputSchema } from '@lateen/xds-proto/envoy/extensions/matching/common_inputs/network/v3/dynamic_metadata_input_pb.js';
import { SourceIPInputSchema } from '@lateen/xds-proto/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.js';
import { UriSanInputSchema } from '@lateen/xds-proto/envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs_pb.js';
import { HttpRequestHeaderMatchInputSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/http_inputs_pb.js';
import * as B from '../../filter-layout.js';
import type { BlobWriter } from '../blob-writer.js';
import { readClaimPath } from '../match/claim-matchers.js';
import { pseudoHeader } from '../match/matchers.js';
import type { ProblemList } from '../problems.js';
import { join } from '../supported-fields.js';

export interface BucketIdPart {
  readonly key: string;
  /** PART_*. */
  readonly kind: number;
  /** Constant, header name or path of a claim. */
  readonly text: string;
}

/** The parts, in the order of their keys; none where requests are not limited. */
export function readBucketId(
  problems: ProblemList,
  path: string,
  builder: RateLimitQuotaBucketSettings_BucketIdBuilder | undefined,
): BucketIdPart[] {
  const values = builder?.bucketIdBuilder ?? {};
  const keys = Object.keys(values).sort();
  if (keys.length > B.MAX_PARTS) problems.add(path, `has ${keys.length} values; at most ${B.MAX_PARTS} are supported`);
  return keys.map((key) => {
    const where = join(path, `bucket_id_builder["${key}"]`);
    const specifier = values[key]?.valueSpecifier;
    if (specifier?.case === 'stringValue') {
      if (specifier.value === '') problems.add(join(where, 'string_value'), 'is empty');
      return { key, kind: B.PART_CONSTANT, text: specifier.value };
    }
    if (specifier?.case === 'customValue')
      return { key, ...readInput(problems, join(where, 'custom_value'), specifier.value) };
    problems.add(where, 'needs string_value or custom_value');
    return { key, kind: B.PART_CONSTANT, text: '' };
  });
}

function readInput(problems: ProblemList, path: string, input: TypedExtensionConfig): Omit<BucketIdPart, 'key'> {
  const any = input.typedConfig;
  if (any !== undefined && anyIs(any, HttpRequestHeaderMatchInputSchema)) {
    const name = unpackAny(any, HttpRequestHeaderMatchInputSchema).headerName.toLowerCase();
    if (name === '') problems.add(join(path, 'typed_config.header_name'), 'is empty');
    if (name.startsWith(':') && pseudoHeader(name) === 0) {
      problems.add(join(path, 'typed_config.header_name'), `"${name}" is not supported`);
    }
    return { kind: B.PART_HEADER, text: name };
  }
  if (any !== undefined && anyIs(any, UriSanInputSchema)) return { kind: B.PART_PRINCIPAL, text: '' };
  if (any !== undefined && anyIs(any, SourceIPInputSchema)) return { kind: B.PART_ADDRESS, text: '' };
  if (any !== undefined && anyIs(any, DynamicMetadataInputSchema)) {
    const input = unpackAny(any, DynamicMetadataInputSchema);
    return { kind: B.PART_CLAIM, text: readClaimPath(problems, join(path, 'typed_config'), input) };
  }
  problems.add(join(path, 'typed_config'), `${any?.typeUrl || 'an input without a type'} is not supported`);
  return { kind: B.PART_CONSTANT, text: '' };
}

/** Writes records at the end of the blob; relative offset of the first. */
export function writeParts(
  blob: BlobWriter,
  parts: readonly BucketIdPart[],
  hashName: (name: string) => number,
): number {
  if (parts.length === 0) return 0;
  const start = blob.reserve(parts.length * B.PART_BYTES);
  parts.forEach(({ kind, text }, index) => {
    const at = start + index * B.PART_BYTES;
    blob.int(at + B.PART_KIND, kind);
    blob.text(at + B.PART_TEXT, text);
    blob.int(at + B.PART_HASH, hashName(text));
    blob.int(at + B.PART_PSEUDO, kind === B.PART_HEADER ? pseudoHeader(text) : 0);
  });
  return start;
}
