// Exchange: what sidecars tell each other about themselves in x-envoy-peer-metadata, and how it is read at scrape.

import { create, fromBinary, type JsonObject, type JsonValue, toBinary } from '@bufbuild/protobuf';
import { type Struct, StructSchema, type Value } from '@bufbuild/protobuf/wkt';
import type { Node } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';

/** What the standard metrics say of one side. Absent values are empty. */
export interface WorkloadFacts {
  readonly workload: string;
  readonly namespace: string;
  readonly app: string;
  readonly version: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
  readonly cluster: string;
}

export const UNKNOWN_WORKLOAD: WorkloadFacts = {
  workload: '',
  namespace: '',
  app: '',
  version: '',
  canonicalService: '',
  canonicalRevision: '',
  cluster: '',
};

/** Keys of node metadata that are told to peers, as Istio's. */
const TOLD = ['CLUSTER_ID', 'INSTANCE_IPS', 'LABELS', 'NAME', 'NAMESPACE', 'WORKLOAD_NAME'] as const;
const CANONICAL_SERVICE = 'service.istio.io/canonical-name';
const CANONICAL_REVISION = 'service.istio.io/canonical-revision';
/** Prefix of interned peer values that come from an endpoint's `istio.workload` and not from a header. */
export const ENDPOINT_WORKLOAD = 'workload:';

/** The two headers that this node adds; each [name, value]. */
export function ownPeerLines(node: Node): readonly (readonly [string, string])[] {
  const bytes = toBinary(StructSchema, structOf(toldMetadata(node)));
  return [
    ['x-envoy-peer-metadata-id', node.id],
    ['x-envoy-peer-metadata', Buffer.from(bytes).toString('base64')],
  ];
}

/** The part of the node's metadata that peers are told. */
export function toldMetadata(node: Node): JsonObject {
  const metadata: JsonObject = {};
  for (const key of TOLD) {
    const value = node.metadata?.[key];
    if (value !== undefined) metadata[key] = value;
  }
  return metadata;
}

/** What this node says of itself in its own metrics. */
export function ownWorkload(node: Node): WorkloadFacts {
  return workloadOf(node.metadata ?? {});
}

/** Reads an interned value: a header's base64, or an endpoint's workload. What cannot be read is unknown. */
export function parsePeer(value: Buffer): WorkloadFacts {
  const text = value.toString('latin1');
  if (text.startsWith(ENDPOINT_WORKLOAD)) return parseEndpointWorkload(text.slice(ENDPOINT_WORKLOAD.length));
  try {
    return workloadOf(jsonOf(fromBinary(StructSchema, Buffer.from(text, 'base64'))));
  } catch {
    return UNKNOWN_WORKLOAD; // whatever the peer sent, it is not metadata
  }
}

/** `NAME;NAMESPACE;CANONICAL;REVISION;CLUSTER`, as Istio writes it into endpoint metadata. */
export function parseEndpointWorkload(text: string): WorkloadFacts {
  const [workload = '', namespace = '', canonicalService = '', canonicalRevision = '', cluster = ''] = text.split(';');
  return {
    workload,
    namespace,
    app: canonicalService,
    version: canonicalRevision,
    canonicalService,
    canonicalRevision,
    cluster,
  };
}

/** What a node's metadata says of its workload. */
export function workloadOf(metadata: JsonObject): WorkloadFacts {
  const labels = isObject(metadata.LABELS) ? metadata.LABELS : {};
  const text = (value: JsonValue | undefined): string => (typeof value === 'string' ? value : '');
  const app = text(labels.app);
  const version = text(labels.version);
  const workload = text(metadata.WORKLOAD_NAME);
  return {
    workload,
    namespace: text(metadata.NAMESPACE),
    app,
    version,
    canonicalService: text(labels[CANONICAL_SERVICE]) || app || workload,
    canonicalRevision: text(labels[CANONICAL_REVISION]) || version,
    cluster: text(metadata.CLUSTER_ID),
  };
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Keys in order, so that equal metadata are equal bytes. */
export function structOf(object: JsonObject): Struct {
  const fields: Record<string, Value> = {};
  for (const key of Object.keys(object).sort()) fields[key] = protoValue(object[key] as JsonValue);
  return create(StructSchema, { fields });
}

function protoValue(json: JsonValue): Value {
  const kind = ((): Value['kind'] => {
    if (json === null) return { case: 'nullValue', value: 0 };
    if (typeof json === 'string') return { case: 'stringValue', value: json };
    if (typeof json === 'number') return { case: 'numberValue', value: json };
    if (typeof json === 'boolean') return { case: 'boolValue', value: json };
    if (Array.isArray(json))
      return { case: 'listValue', value: { $typeName: 'google.protobuf.ListValue', values: json.map(protoValue) } };
    return { case: 'structValue', value: structOf(json) };
  })();
  return { $typeName: 'google.protobuf.Value', kind };
}

/** A struct as JSON. */
export function jsonOf(struct: Struct): JsonObject {
  const object: JsonObject = {};
  for (const [key, value] of Object.entries(struct.fields)) object[key] = jsonOfValue(value);
  return object;
}

function jsonOfValue({ kind }: Value): JsonValue {
  switch (kind.case) {
    case 'structValue':
      return jsonOf(kind.value);
    case 'listValue':
      return kind.value.values.map(jsonOfValue);
    case 'stringValue':
    case 'numberValue':
    case 'boolValue':
      return kind.value;
    default:
      return null;
  }
}
