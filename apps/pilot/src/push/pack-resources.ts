// Push: packs built resources for the wire, each with a version made of its bytes.

import { createHash } from 'node:crypto';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import type { NamedResource, ProxyResources } from '@lateen/translate';
import { packAny, TYPE_URL } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { ResourceEntry, ResourceSet } from '@lateen/xds-stream';

const VERSION_CHARACTERS = 16;

/** Messages are shared between views and never changed, so each is packed once. */
const packed = new WeakMap<object, ResourceEntry>();

function pack<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): ResourceEntry {
  const known = packed.get(message);
  if (known !== undefined) return known;
  const any = packAny(schema, message);
  const version = createHash('sha256').update(any.value).digest('hex').slice(0, VERSION_CHARACTERS);
  const entry: ResourceEntry = { version, any };
  packed.set(message, entry);
  return entry;
}

function packAll<Desc extends DescMessage>(
  schema: Desc,
  resources: readonly NamedResource<MessageShape<Desc>>[],
): ResourceSet {
  return new Map(resources.map(({ name, message }) => [name, pack(schema, message)]));
}

/** All resources of a proxy by type URL and name. */
export function packResources(resources: ProxyResources): ReadonlyMap<string, ResourceSet> {
  return new Map<string, ResourceSet>([
    [TYPE_URL.cluster, packAll(ClusterSchema, resources.clusters)],
    [TYPE_URL.endpoint, packAll(ClusterLoadAssignmentSchema, resources.endpoints)],
    [TYPE_URL.listener, packAll(ListenerSchema, resources.listeners)],
    [TYPE_URL.route, packAll(RouteConfigurationSchema, resources.routes)],
  ]);
}
