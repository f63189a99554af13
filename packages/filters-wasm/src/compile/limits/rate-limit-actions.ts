// `rate_limits` of a route or virtual host as an immutable record: what a request is to a rate limit service.
import type { Metadata } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  type RateLimit,
  type RateLimit_Action,
  RateLimit_Action_HeaderValueMatchSchema,
  RateLimit_Action_MaskedRemoteAddressSchema,
  type RateLimit_Action_MetaData,
  RateLimit_Action_MetaData_Source,
  RateLimit_Action_MetaDataSchema,
  RateLimit_Action_QueryParameterValueMatchSchema,
  RateLimit_Action_RequestHeadersSchema,
  RateLimit_ActionSchema,
  RateLimitSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { BlobWriter } from '../blob-writer.js';
import { pseudoHeader, readHeaderMatcher, readQueryMatcher, writeMatchers } from '../match/matchers.js';
import type { ProblemList } from '../problems.js';
import { join, refuseOtherFields } from '../supported-fields.js';
import * as A from './ask-layout.js';

const MAX_STAGE = 10;

/** What the limits belong to. */
export interface ActionsSource {
  /** Of the message that has `rate_limits`. */
  readonly path: string;
  readonly rateLimits: readonly RateLimit[];
  /** Of a route: those of the virtual host count besides. */
  readonly withHost: boolean;
  /** Of the route; undefined where the limits are a virtual host's. */
  readonly metadata: Metadata | undefined;
  readonly isRoute: boolean;
}

interface ActionContext {
  readonly problems: ProblemList;
  hashName(name: string): number;
}

/** The record's bytes; undefined where nothing is said. */
export function compileRateLimitActions(context: ActionContext, source: ActionsSource): Uint8Array | undefined {
  const { rateLimits, withHost, path } = source;
  const { problems } = context;
  if (rateLimits.length === 0 && !withHost) return undefined;
  if (rateLimits.length > A.MAX_DESCRIBED) {
    problems.add(
      join(path, 'rate_limits'),
      `has ${rateLimits.length} limits; at most ${A.MAX_DESCRIBED} are supported`,
    );
  }
  const blob = new BlobWriter();
  blob.reserve(A.ACTIONS_BYTES);
  blob.int(A.ACTIONS_WITH_HOST, Number(withHost));
  const start = blob.reserve(rateLimits.length * A.DESCRIBED_BYTES);
  blob.int(A.ACTIONS_LIMITS, start);
  blob.int(A.ACTIONS_LIMIT_COUNT, rateLimits.length);
  rateLimits.forEach((limit, index) => {
    const where = join(path, `rate_limits[${index}]`);
    // There is no runtime that could disable it.
    refuseOtherFields(problems, where, RateLimitSchema, limit, 'stage disable_key actions');
    if ((limit.stage ?? 0) > MAX_STAGE) problems.add(join(where, 'stage'), `${limit.stage} is more than ${MAX_STAGE}`);
    if (limit.actions.length === 0) problems.add(join(where, 'actions'), 'is empty');
    if (limit.actions.length > A.MAX_ACTIONS) {
      problems.add(join(where, 'actions'), `has ${limit.actions.length}; at most ${A.MAX_ACTIONS} are supported`);
    }
    const at = start + index * A.DESCRIBED_BYTES;
    blob.int(at + A.DESCRIBED_STAGE, limit.stage ?? 0);
    const actions = blob.reserve(limit.actions.length * A.ACTION_BYTES);
    blob.int(at + A.DESCRIBED_ACTIONS, actions);
    let count = 0;
    limit.actions.forEach((action, place) => {
      const actionAt = actions + count * A.ACTION_BYTES;
      if (writeAction(context, blob, actionAt, join(where, `actions[${place}]`), action, source)) count++;
    });
    blob.int(at + A.DESCRIBED_ACTION_COUNT, count);
  });
  return blob.finish();
}

/** False where it adds no entry to any descriptor. */
function writeAction(
  context: ActionContext,
  blob: BlobWriter,
  at: number,
  path: string,
  action: RateLimit_Action,
  source: ActionsSource,
): boolean {
  const { problems } = context;
  refuseOtherFields(
    problems,
    path,
    RateLimit_ActionSchema,
    action,
    `source_cluster destination_cluster request_headers remote_address generic_key header_value_match metadata
     masked_remote_address query_parameter_value_match`,
  );
  const { actionSpecifier: kind } = action;
  const entry = (entryKind: number, key: string, value = '') => {
    blob.int(at + A.ACTION_KIND, entryKind);
    blob.text(at + A.ACTION_KEY, key);
    blob.text(at + A.ACTION_VALUE, value);
    return true;
  };
  switch (kind.case) {
    case 'sourceCluster':
      return entry(A.ACTION_SOURCE, 'source_cluster');
    case 'destinationCluster':
      return entry(A.ACTION_CLUSTER, 'destination_cluster');
    case 'remoteAddress':
      return entry(A.ACTION_ADDRESS, 'remote_address');
    case 'genericKey':
      required(problems, join(path, 'generic_key.descriptor_value'), kind.value.descriptorValue);
      return entry(A.ACTION_TEXT, kind.value.descriptorKey || 'generic_key', kind.value.descriptorValue);
    case 'requestHeaders': {
      const where = join(path, 'request_headers');
      const { headerName, descriptorKey, skipIfAbsent } = kind.value;
      refuseOtherFields(
        problems,
        where,
        RateLimit_Action_RequestHeadersSchema,
        kind.value,
        'header_name descriptor_key skip_if_absent',
      );
      required(problems, join(where, 'header_name'), headerName);
      required(problems, join(where, 'descriptor_key'), descriptorKey);
      const name = headerName.toLowerCase();
      if (name.startsWith(':') && pseudoHeader(name) === 0) {
        problems.add(join(where, 'header_name'), `"${name}" is not supported`);
      }
      entry(A.ACTION_HEADER, descriptorKey, name);
      blob.int(at + A.ACTION_HASH, context.hashName(name));
      blob.int(at + A.ACTION_PSEUDO, pseudoHeader(name));
      blob.int(at + A.ACTION_FLAG, Number(skipIfAbsent));
      return true;
    }
    case 'maskedRemoteAddress': {
      const where = join(path, 'masked_remote_address');
      refuseOtherFields(
        problems,
        where,
        RateLimit_Action_MaskedRemoteAddressSchema,
        kind.value,
        'v4_prefix_mask_len v6_prefix_mask_len',
      );
      const { v4PrefixMaskLen: bits4 = 32, v6PrefixMaskLen: bits6 = 128 } = kind.value;
      if (bits4 > 32) problems.add(join(where, 'v4_prefix_mask_len'), `${bits4} is more than 32`);
      if (bits6 > 128) problems.add(join(where, 'v6_prefix_mask_len'), `${bits6} is more than 128`);
      blob.int(at + A.ACTION_KIND, A.ACTION_NETWORK);
      blob.text(at + A.ACTION_KEY, 'masked_remote_address');
      blob.int(at + A.ACTION_VALUE, bits4);
      blob.int(at + A.ACTION_VALUE_LENGTH, bits6);
      return true;
    }
    case 'headerValueMatch': {
      const where = join(path, 'header_value_match');
      const { headers, descriptorKey, descriptorValue, expectMatch } = kind.value;
      refuseOtherFields(
        problems,
        where,
        RateLimit_Action_HeaderValueMatchSchema,
        kind.value,
        'descriptor_key descriptor_value expect_match headers',
      );
      required(problems, join(where, 'descriptor_value'), descriptorValue);
      if (headers.length === 0) problems.add(join(where, 'headers'), 'is empty');
      entry(A.ACTION_HEADER_MATCH, descriptorKey || 'header_match', descriptorValue);
      const matchers = headers.map((matcher, index) =>
        readHeaderMatcher(problems, join(where, `headers[${index}]`), matcher),
      );
      blob.int(at + A.ACTION_FLAG, Number(expectMatch ?? true));
      blob.int(at + A.ACTION_MATCHERS, writeMatchers(problems, blob, matchers, context.hashName, true));
      blob.int(at + A.ACTION_MATCHER_COUNT, matchers.length);
      return true;
    }
    case 'queryParameterValueMatch': {
      const where = join(path, 'query_parameter_value_match');
      const { queryParameters, descriptorKey, descriptorValue, expectMatch } = kind.value;
      refuseOtherFields(
        problems,
        where,
        RateLimit_Action_QueryParameterValueMatchSchema,
        kind.value,
        'descriptor_key descriptor_value expect_match query_parameters',
      );
      required(problems, join(where, 'descriptor_value'), descriptorValue);
      if (queryParameters.length === 0) problems.add(join(where, 'query_parameters'), 'is empty');
      entry(A.ACTION_QUERY_MATCH, descriptorKey || 'query_match', descriptorValue);
      const matchers = queryParameters.map((matcher, index) =>
        readQueryMatcher(problems, join(where, `query_parameters[${index}]`), matcher),
      );
      blob.int(at + A.ACTION_FLAG, Number(expectMatch ?? true));
      blob.int(at + A.ACTION_MATCHERS, writeMatchers(problems, blob, matchers, context.hashName, false));
      blob.int(at + A.ACTION_MATCHER_COUNT, matchers.length);
      return true;
    }
    case 'metadata': {
      const value = metadataValue(problems, join(path, 'metadata'), kind.value, source);
      if (value !== '') return entry(A.ACTION_TEXT, kind.value.descriptorKey, value);
      return kind.value.skipIfAbsent ? false : entry(A.ACTION_NEVER, kind.value.descriptorKey);
    }
    case undefined:
      problems.add(path, 'says no action');
      return false;
    default: // dynamic_metadata and extension are refused above, by name
      return false;
  }
}

/** What the route says of itself, known beforehand; empty where it says nothing. */
function metadataValue(
  problems: ProblemList,
  path: string,
  action: RateLimit_Action_MetaData,
  { metadata, isRoute }: ActionsSource,
): string {
  refuseOtherFields(
    problems,
    path,
    RateLimit_Action_MetaDataSchema,
    action,
    'descriptor_key metadata_key default_value source skip_if_absent',
  );
  required(problems, join(path, 'descriptor_key'), action.descriptorKey);
  if (action.source === RateLimit_Action_MetaData_Source.DYNAMIC) {
    problems.add(join(path, 'source'), 'DYNAMIC is not supported: filters keep no metadata; use ROUTE_ENTRY');
  } else if (!isRoute) {
    problems.add(join(path, 'source'), 'ROUTE_ENTRY is supported in the rate_limits of a route, not of a virtual host');
  }
  const key = action.metadataKey;
  if (key === undefined) problems.add(join(path, 'metadata_key'), 'is required');
  let value: unknown = key === undefined ? undefined : metadata?.filterMetadata[key.key];
  for (const { segment } of key?.path ?? []) {
    const name = segment.case === 'key' ? segment.value : '';
    value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
  }
  return typeof value === 'string' && value !== '' ? value : action.defaultValue;
}

function required(problems: ProblemList, path: string, value: string): void {
  if (value === '') problems.add(path, 'is required');
}
