// The type URLs of the xDS resources that Lateen serves and takes, and their push order.

const PREFIX = 'type.googleapis.com/';

/** Type URLs of Envoy's v3 discovery services. */
export const TYPE_URL = {
  cluster: `${PREFIX}envoy.config.cluster.v3.Cluster`,
  endpoint: `${PREFIX}envoy.config.endpoint.v3.ClusterLoadAssignment`,
  listener: `${PREFIX}envoy.config.listener.v3.Listener`,
  route: `${PREFIX}envoy.config.route.v3.RouteConfiguration`,
  secret: `${PREFIX}envoy.extensions.transport_sockets.tls.v3.Secret`,
} as const;

/** Istio's table of names for DNS: one resource, for who asks for it (istio.networking.nds.v1.NameTable). */
export const NAME_TABLE_TYPE_URL = `${PREFIX}istio.networking.nds.v1.NameTable`;

export type XdsTypeUrl = (typeof TYPE_URL)[keyof typeof TYPE_URL];

/** Make-before-break order of a push; secrets are never gated and go first. */
export const PUSH_ORDER: readonly XdsTypeUrl[] = [
  TYPE_URL.secret,
  TYPE_URL.cluster,
  TYPE_URL.endpoint,
  TYPE_URL.listener,
  TYPE_URL.route,
];

/** "CDS", "EDS", ... for messages to people. */
export function shortTypeName(typeUrl: string): string {
  switch (typeUrl) {
    case TYPE_URL.cluster:
      return 'CDS';
    case TYPE_URL.endpoint:
      return 'EDS';
    case TYPE_URL.listener:
      return 'LDS';
    case TYPE_URL.route:
      return 'RDS';
    case TYPE_URL.secret:
      return 'SDS';
    case NAME_TABLE_TYPE_URL:
      return 'NDS';
    default:
      return typeUrl;
  }
}

/** Type URL of a message as packed in an Any. */
export function typeUrlOf(typeName: string): string {
  return PREFIX + typeName;
}
