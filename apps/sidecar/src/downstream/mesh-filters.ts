// Downstream: reads the mesh's own filters, metadata exchange and statistics, which arrive as TypedStruct.

import type { JsonObject } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnyDecodeError, anyIs, unpackAny } from '@lateen/xds-proto';
import type { HttpFilter } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TypedStructSchema as UdpaTypedStructSchema } from '@lateen/xds-proto/udpa/type/v1/typed_struct_pb.js';
import { TypedStructSchema as XdsTypedStructSchema } from '@lateen/xds-proto/xds/type/v3/typed_struct_pb.js';

export interface MeshFilters {
  metadataExchange: boolean;
  /** The plugin configuration in JSON form. */
  stats: JsonObject | undefined;
  /** Names of quota filters that answers tell the limits of. */
  told: ReadonlySet<string>;
}

/** Types inside the TypedStruct; a filter is known by its type, as in Envoy, where names are free. */
export const METADATA_EXCHANGE = {
  http: 'io.istio.http.peer_metadata.Config',
  tcp: 'envoy.tcp.metadataexchange.config.MetadataExchange',
} as const;
export const STATS = 'stats.PluginConfig';
/** Which limits answers tell; it stands before the filters that it names. */
export const TOLD_LIMITS = 'io.lateen.http.rate_limit_headers.Config';

/** A filter of any kind: HTTP, network, or a cluster's. */
interface NamedFilter {
  readonly name: string;
  readonly configType?: { readonly case: string | undefined; readonly value?: unknown };
  readonly typedConfig?: Any | undefined;
}

/** The plugin type and the configuration of a filter that is a TypedStruct, or what is wrong with it. */
export function readStruct(filter: NamedFilter): { readonly type: string; readonly value: JsonObject } | string {
  const any = filter.configType?.case === 'typedConfig' ? (filter.configType.value as Any) : filter.typedConfig;
  if (any === undefined) return `filter ${filter.name} has no typed_config`;
  try {
    let struct: { typeUrl: string; value?: JsonObject | undefined };
    if (anyIs(any, UdpaTypedStructSchema)) struct = unpackAny(any, UdpaTypedStructSchema);
    else if (anyIs(any, XdsTypedStructSchema)) struct = unpackAny(any, XdsTypedStructSchema);
    else return `filter ${filter.name} (${any.typeUrl}) is not supported`;
    return { type: struct.typeUrl.slice(struct.typeUrl.lastIndexOf('/') + 1), value: struct.value ?? {} };
  } catch (error) {
    if (error instanceof AnyDecodeError) return error.message;
    throw error;
  }
}

/** Takes one HTTP filter into `into`; returns what is wrong with it, or an empty text. */
export function readMeshFilter(filter: HttpFilter, into: MeshFilters): string {
  const read = readStruct(filter);
  if (typeof read === 'string') return read;
  if (read.type === METADATA_EXCHANGE.http) into.metadataExchange = true;
  else if (read.type === STATS) into.stats = read.value;
  else if (read.type === TOLD_LIMITS) into.told = new Set((read.value.filters as string[] | undefined) ?? []);
  else return `filter ${filter.name} (${read.type}) is not supported`;
  return '';
}
