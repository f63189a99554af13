// Resources: one Any from the control plane, from disk or from the bootstrap file becomes a checked message, or a list of problems.

import type { DescMessage, Message } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { TYPE_URL, unpackAny, type XdsTypeUrl } from '@lateen/xds-proto';
import { type Cluster, ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { type Listener, ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { type Secret, SecretSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { ResourceRejected } from '@lateen/xds-stream';
import { SUPPORT_TABLE } from './support/support-table.js';
import type { FieldProblem } from './support/support-types.js';
import { findUnsupported } from './support/walk-support.js';
import { ProblemCollector } from './validate/field-checks.js';
import { validateCluster, validateLoadAssignment } from './validate/validate-cluster.js';
import { validateListener } from './validate/validate-listener.js';
import { validateRouteConfiguration } from './validate/validate-route.js';
import { validateSecret } from './validate/validate-tls.js';

/** Message of each resource type. */
export interface ResourceMessages {
  [TYPE_URL.listener]: Listener;
  [TYPE_URL.route]: RouteConfiguration;
  [TYPE_URL.cluster]: Cluster;
  [TYPE_URL.endpoint]: ClusterLoadAssignment;
  [TYPE_URL.secret]: Secret;
}

interface ResourceKind<T extends Message> {
  readonly schema: DescMessage;
  readonly nameOf: (message: T) => string;
  readonly validate: (message: T, out: ProblemCollector) => void;
}

const KINDS: { readonly [Url in XdsTypeUrl]: ResourceKind<ResourceMessages[Url]> } = {
  [TYPE_URL.listener]: { schema: ListenerSchema, nameOf: ({ name }) => name, validate: validateListener },
  [TYPE_URL.route]: {
    schema: RouteConfigurationSchema,
    nameOf: ({ name }) => name,
    validate: validateRouteConfiguration,
  },
  [TYPE_URL.cluster]: { schema: ClusterSchema, nameOf: ({ name }) => name, validate: validateCluster },
  [TYPE_URL.endpoint]: {
    schema: ClusterLoadAssignmentSchema,
    nameOf: ({ clusterName }) => clusterName,
    validate: validateLoadAssignment,
  },
  [TYPE_URL.secret]: { schema: SecretSchema, nameOf: ({ name }) => name, validate: validateSecret },
};

/** Every problem of a resource: fields that are not supported first, then values. */
export function findProblems<Url extends XdsTypeUrl>(typeUrl: Url, message: ResourceMessages[Url]): FieldProblem[] {
  const kind = KINDS[typeUrl] as ResourceKind<ResourceMessages[Url]>;
  const unsupported = findUnsupported(kind.schema, message, SUPPORT_TABLE);
  const out = new ProblemCollector();
  kind.validate(message, out);
  return [...unsupported, ...out.problems];
}

/** Decodes and checks one resource. @throws ResourceRejected with every problem */
export function decodeResource<Url extends XdsTypeUrl>(
  typeUrl: Url,
  any: Any,
  envelopeName: string | undefined,
): { name: string; value: ResourceMessages[Url] } {
  const kind = KINDS[typeUrl] as ResourceKind<ResourceMessages[Url]>;
  const value = unpackAny(any, kind.schema) as ResourceMessages[Url];
  const name = kind.nameOf(value);
  const problems = findProblems(typeUrl, value);
  if (envelopeName !== undefined && envelopeName !== '' && envelopeName !== name) {
    problems.push({ path: '', message: `holds ${JSON.stringify(name)}, another name than its envelope` });
  }
  if (problems.length > 0) throw new ResourceRejected(envelopeName ?? name, problems);
  return { name, value };
}

/** Name of a checked resource. */
export function resourceName<Url extends XdsTypeUrl>(typeUrl: Url, message: ResourceMessages[Url]): string {
  return (KINDS[typeUrl] as ResourceKind<ResourceMessages[Url]>).nameOf(message);
}
