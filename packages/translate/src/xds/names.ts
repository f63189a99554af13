// Build: the names of xDS resources, as Istio has them; other programs rely on them (CONTRACTS "xDS names").

/** Answers 503: it never has an endpoint. Routes to what does not exist lead here. */
export const BLACK_HOLE_CLUSTER = 'BlackHoleCluster';
/** Leads where a call was going: to the original destination, or without interception to the host that the request names. */
export const PASSTHROUGH_CLUSTER = 'PassthroughCluster';
/** Leads an intercepted connection on to the pod's own address that it was going to. */
export const INBOUND_PASSTHROUGH_CLUSTER = 'InboundPassthroughCluster';
/** The listeners that connections are led to where they are intercepted. */
export const VIRTUAL_OUTBOUND = 'virtualOutbound';
export const VIRTUAL_INBOUND = 'virtualInbound';
/** Route configuration of the forward proxy. */
export const FORWARD_PROXY_ROUTE = 'http_proxy';

/** Of a forward proxy that a Sidecar has at a port of its own. */
export function forwardProxyRouteName(port: number): string {
  return `${FORWARD_PROXY_ROUTE}.${port}`;
}
export const FORWARD_PROXY_PORT = 15_007;

/** `forward_proxy|PORT`: leads to a forward proxy of the sidecar's own, for requests that come to it in a tunnel. */
export function forwardProxyClusterName(port: number): string {
  return `forward_proxy|${port}`;
}

/** The filters that routes configure by their names. */
export const CORS_FILTER = 'envoy.filters.http.cors';
export const FAULT_FILTER = 'envoy.filters.http.fault';

/** The filter that checks tokens, and under which name of its metadata their payloads are. */
export const JWT_FILTER = 'envoy.filters.http.jwt_authn';
export const JWT_PAYLOAD = 'payload';

/** `outbound|PORT|SUBSET|HOST`; the subset may be empty. */
export function outboundClusterName(port: number, subset: string, host: string): string {
  return `outbound|${port}|${subset}|${host}`;
}

/** Stands for all ports of a pod that are none of its services'. */
export const ANY_PORT = 0;

/** `inbound|PORT||`. */
export function inboundClusterName(port: number): string {
  return port === ANY_PORT ? INBOUND_PASSTHROUGH_CLUSTER : `inbound|${port}||`;
}

/** Server name toward a sidecar: `outbound_.PORT_.SUBSET_.HOST`. */
export function sniOf(port: number, subset: string, host: string): string {
  return `outbound_.${port}_.${subset}_.${host}`;
}

/** `IP_PORT`. */
export function listenerName(address: string, port: number): string {
  return `${address}_${port}`;
}

/** `inbound|http|PORT`: route configuration and virtual host of an inbound listener. */
export function inboundRouteName(port: number): string {
  return `inbound|http|${port}`;
}

/** `http.PORT`: route configuration of a gateway's listener. */
export function gatewayRouteName({ port, bind }: { readonly port: number; readonly bind: string }): string {
  return bind === '' ? `http.${port}` : `http.${port}.${bind}`;
}

/** `0.0.0.0_PORT`, or `ADDRESS_PORT` where servers say the address. */
export function gatewayListenerName({ port, bind }: { readonly port: number; readonly bind: string }): string {
  return listenerName(bind === '' ? '0.0.0.0' : bind, port);
}

/** `https.PORT.PORTNAME.GATEWAY.NAMESPACE`: route configuration of a gateway's server that terminates TLS. */
export function gatewayTlsRouteName(server: {
  readonly port: number;
  readonly portName: string;
  /** `NAMESPACE/NAME`. */
  readonly gateway: string;
}): string {
  const [namespace, name] = server.gateway.split('/');
  return `https.${server.port}.${server.portName}.${name}.${namespace}`;
}

/** `HOST:PORT`. */
export function virtualHostName(host: string, port: number): string {
  return `${host}:${port}`;
}
