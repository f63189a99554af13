// Downstream: reads the mesh's own HTTP filters, metadata exchange and statistics, which arrive as TypedStruct.

import type { JsonObject } from '@bufbuild/protobuf';
import { AnyDecodeError, anyIs, unpackAny } from '@lateen/xds-proto';
import type { HttpFilter } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TypedStructSchema as UdpaTypedStructSchema } from '@lateen/xds-proto/udpa/type/v1/typed_struct_pb.js';
import { TypedStructSchema as XdsTypedStructSchema } from '@lateen/xds-proto/xds/type/v3/typed_struct_pb.js';

export interface MeshFilters {
  metadataExchange: boolean;
  /** The plugin configuration in JSON form. */
  stats: JsonObject | undefined;
}

/** Types inside the TypedStruct; a filter is known by its type, as in Envoy, where names are free. */
const METADATA_EXCHANGE = 'io.istio.http.peer_metadata.Config';
const STATS = 'stats.PluginConfig';

/** Takes one filter into `into`; returns what is wrong with it, or an empty text. */
export function readMeshFilter(filter: HttpFilter, into: MeshFilters): string {
  if (filter.configType.case !== 'typedConfig') return `filter ${filter.name} has no typed_config`;
  const any = filter.configType.value;
  try {
    let struct: { typeUrl: string; value?: JsonObject | undefined };
    if (anyIs(any, UdpaTypedStructSchema)) struct = unpackAny(any, UdpaTypedStructSchema);
    else if (anyIs(any, XdsTypedStructSchema)) struct = unpackAny(any, XdsTypedStructSchema);
    else return `filter ${filter.name} (${any.typeUrl}) is not supported`;
    const type = struct.typeUrl.slice(struct.typeUrl.lastIndexOf('/') + 1);
    if (type === METADATA_EXCHANGE) into.metadataExchange = true;
    else if (type === STATS) into.stats = struct.value ?? {};
    else return `filter ${filter.name} (${struct.typeUrl}) is not supported`;
    return '';
  } catch (error) {
    if (error instanceof AnyDecodeError) return error.message;
    throw error;
  }
}
