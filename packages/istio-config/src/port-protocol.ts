// Values: the protocol of a service port, from `appProtocol`, else from the port's name, else from its number.

/** What a service port speaks. `auto`: nothing says so, it is detected from the first bytes. */
export type PortProtocol =
  | 'http'
  | 'http2'
  | 'grpc'
  | 'grpc-web'
  | 'https'
  | 'tls'
  | 'tcp'
  | 'udp'
  | 'mongo'
  | 'mysql'
  | 'redis'
  | 'auto';

const NAMED: ReadonlySet<string> = new Set<PortProtocol>([
  'http',
  'http2',
  'grpc',
  'grpc-web',
  'https',
  'tls',
  'tcp',
  'udp',
  'mongo',
  'mysql',
  'redis',
]);

/** Kubernetes's standard values of `appProtocol`, as words of Istio's list. */
const STANDARD_APP_PROTOCOLS: Readonly<Record<string, PortProtocol>> = {
  'kubernetes.io/h2c': 'http2',
  h2c: 'http2',
  'kubernetes.io/ws': 'http',
  'kubernetes.io/wss': 'https',
};

/** Ports whose server speaks first or whose protocol is known; unnamed ones are TCP (SMTP, DNS, MySQL, MongoDB). */
const TCP_BY_NUMBER: ReadonlySet<number> = new Set([25, 53, 3306, 27_017]);

/** What is known of a service port. */
export interface PortNaming {
  readonly name?: string | undefined;
  readonly appProtocol?: string | undefined;
  /** Kubernetes's `protocol`: TCP, UDP or SCTP. */
  readonly protocol?: string | undefined;
  readonly port: number;
}

/** The protocol of a Kubernetes service port (Istio's rules for explicit protocol selection). */
export function protocolOfPort({ name, appProtocol, protocol, port }: PortNaming): PortProtocol {
  if (protocol === 'UDP') return 'udp';
  const said = appProtocol ? (STANDARD_APP_PROTOCOLS[appProtocol] ?? appProtocol) : name;
  return (said ? protocolFromPortName(said) : undefined) ?? (TCP_BY_NUMBER.has(port) ? 'tcp' : 'auto');
}

/** The protocol that a port's name says: the part before the first `-` (`http-web`), or the whole name; undefined where it says none. */
export function protocolFromPortName(name: string): PortProtocol | undefined {
  if (/^grpc-web(-|$)/i.test(name)) return 'grpc-web';
  const dash = name.indexOf('-');
  return protocolFromName(dash < 0 ? name : name.slice(0, dash));
}

/** The word by which a Sidecar's egress listener says that it is a forward proxy: requests name hosts of any port. */
export function isForwardProxy(word: string | undefined): boolean {
  return word?.toUpperCase() === 'HTTP_PROXY';
}

/** A protocol's word, in any case, as in `protocol: HTTP` of a Gateway. */
export function protocolFromName(word: string): PortProtocol | undefined {
  const lower = word.toLowerCase();
  return NAMED.has(lower) ? (lower as PortProtocol) : undefined;
}

/** Whether requests of the protocol are seen as HTTP (a connection manager and not a TCP proxy). */
export function isHttpProtocol(protocol: PortProtocol): boolean {
  return protocol === 'http' || protocol === 'http2' || protocol === 'grpc' || protocol === 'grpc-web';
}
