// Meaning of Sidecar.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { dnsNameFault, isDnsLabel } from '../declare/formats.js';
import { splitNamespacedHost } from '../host.js';
import type { SidecarSpec } from '../kinds/sidecar.js';
import { isForwardProxy, isHttpProtocol, protocolFromName } from '../port-protocol.js';
import type { FieldPath } from '../problem.js';
import { checkBind, checkDefaultEndpoint, isSocketAddress } from './fields/addresses.js';
import { checkConnectionPool } from './fields/connection-pool.js';
import { checkEgressHost } from './fields/namespaced-host.js';
import { checkServerTls, passesThrough } from './fields/server-tls.js';
import { checkProtocol, checkSelector, checkUnique, type MeaningRule, present } from './rule.js';

export const checkSidecar: MeaningRule<SidecarSpec> = (spec, faults, { namespace, rootNamespace }) => {
  checkSelector(spec.workloadSelector, ['workloadSelector'], faults);
  if (spec.workloadSelector && namespace === rootNamespace) {
    const message =
      'a Sidecar of the root namespace is for the whole mesh; remove the selector, or use another namespace';
    faults.warning(['workloadSelector'], 'selector', message, 'key');
  }
  if (isEmpty(spec)) {
    faults.error([], 'required', 'the Sidecar has no settings; add `egress`, `ingress` or `outboundTrafficPolicy`');
  }
  checkIngress(spec, faults);
  checkConnectionPool(spec.inboundConnectionPool, ['inboundConnectionPool'], faults);
  checkEgress(spec, namespace, faults);
  checkEgressProxy(spec, faults);
};

/** Lists without items count as not there. */
function isEmpty(spec: Loose<SidecarSpec>): boolean {
  return (
    Object.keys(spec).every((field) => ['workloadSelector', 'egress', 'ingress'].includes(field)) &&
    !('egress' in spec && spec.egress?.length !== 0) &&
    !('ingress' in spec && spec.ingress?.length !== 0)
  );
}

type Port = NonNullable<NonNullable<NonNullable<Loose<SidecarSpec>['egress']>[number]>['port']>;

function checkPort(port: Port | undefined, path: FieldPath, faults: FaultList): void {
  if (port?.name && !isDnsLabel(port.name)) {
    const message = `\`${port.name}\` is not a port's name; write letters, digits and \`-\``;
    faults.error([...path, 'name'], 'name', message);
  }
  if (port && 'targetPort' in port) {
    const message = '`targetPort` has no effect in a Sidecar; remove it';
    faults.error([...path, 'targetPort'], 'no-effect', message, 'key');
  }
  // No word at all means that the protocol is detected.
  if (port?.protocol) checkProtocol(port.protocol, [...path, 'protocol'], faults);
}

/** 0 is the number of a port that has none. */
function hasNumber(port: Port): boolean {
  return 'number' in port && port.number !== 0;
}

function checkIngress({ ingress, workloadSelector }: Loose<SidecarSpec>, faults: FaultList): void {
  if (ingress && ingress.length > 0 && !workloadSelector) {
    const message = '`ingress` without `workloadSelector` is for all workloads of the namespace alike; add a selector';
    faults.warning(['ingress'], 'selector', message, 'key');
  }
  for (const [index, { port, bind, defaultEndpoint, tls, connectionPool }] of present(ingress)) {
    const path = ['ingress', index];
    checkPort(port, [...path, 'port'], faults);
    if (port && !hasNumber(port)) {
      faults.error([...path, 'port'], 'required', '`number` is required in the port; add it');
    }
    checkBind(bind, { sockets: false }, [...path, 'bind'], faults);
    checkDefaultEndpoint(defaultEndpoint, [...path, 'defaultEndpoint'], faults);
    if (tls) checkIngressTls(tls, [...path, 'tls'], faults);
    if (tls) checkTerminated(tls, port?.protocol, [...path, 'tls'], faults);
    checkConnectionPool(connectionPool, [...path, 'connectionPool'], faults);
    const protocol = protocolFromName(port?.protocol ?? '');
    if (connectionPool?.http && protocol !== undefined && !isHttpProtocol(protocol)) {
      const message = `\`http\` has no effect, since the port's protocol is ${port?.protocol}; remove it`;
      faults.warning([...path, 'connectionPool', 'http'], 'no-effect', message, 'key');
    }
  }
  checkUnique(
    ingress,
    ({ port }) => port?.number?.toString(),
    faults,
    (index, port) => ({
      path: ['ingress', index, 'port', 'number'],
      message: `port ${port} is there twice in \`ingress\`; keep one`,
    }),
  );
}

type IngressTls = NonNullable<NonNullable<NonNullable<Loose<SidecarSpec>['ingress']>[number]>['tls']>;

/** A sidecar's own port takes certificates from files only, and mutual TLS of the mesh is on by itself. */
function checkIngressTls(tls: IngressTls, path: FieldPath, faults: FaultList): void {
  for (const field of ['subjectAltNames', 'httpsRedirect', 'credentialName', 'credentialNames'] as const) {
    if (!(field in tls) || (field === 'httpsRedirect' && tls.httpsRedirect !== true)) continue;
    const message = `\`${field}\` has no place in the \`ingress\` of a Sidecar; remove it`;
    faults.error([...path, field], 'one-of', message, 'key');
  }
  if (tls.mode === 'ISTIO_MUTUAL' || tls.mode === 'AUTO_PASSTHROUGH') {
    const message = `mode ${tls.mode} has no place in the \`ingress\` of a Sidecar; write SIMPLE or MUTUAL`;
    faults.error([...path, 'mode'], 'enum', message);
  }
  checkServerTls(tls, path, faults);
}

function checkEgress({ egress }: Loose<SidecarSpec>, namespace: string, faults: FaultList): void {
  let catchAll: number | undefined;
  for (const [index, listener] of present(egress)) {
    const { port, bind, captureMode, hosts } = listener;
    const path = ['egress', index];
    if (catchAll !== undefined) {
      const message = `a listener after the one without a port (item ${catchAll}) is never used; move that to the end`;
      faults.error(path, 'unreachable', message);
    }
    if (!('port' in listener)) catchAll ??= index;
    checkPort(port && isForwardProxy(port.protocol) ? { ...port, protocol: 'HTTP' } : port, [...path, 'port'], faults);
    const bySocket = port !== undefined && !hasNumber(port);
    if (bySocket && !(bind !== undefined && isSocketAddress(bind))) {
      const message = '`number` is required in the port; add it (only a socket in `bind` has none)';
      faults.error([...path, 'port'], 'required', message);
    }
    checkBind(bind, { sockets: bySocket }, [...path, 'bind'], faults);
    if (bySocket && bind !== undefined && isSocketAddress(bind)) {
      const message = 'sockets (`unix://`) cannot be listened on yet; write an IP address, and a `number` in the port';
      faults.error([...path, 'bind'], 'unsupported', message);
    }
    checkOwnPort(listener, path, faults);
    if (bySocket && captureMode === 'IPTABLES') {
      const message = 'connections to a socket are not captured; write NONE, or remove `captureMode`';
      faults.error([...path, 'captureMode'], 'enum', message);
    }
    for (const [at, host] of present(hosts)) checkEgressHost(host, [...path, 'hosts', at], faults);
    checkDoubleHosts(hosts, namespace, [...path, 'hosts'], faults);
  }
  checkUnique(
    egress,
    ({ port, bind }) => (port?.number ? `port ${port.number}` : port && bind ? `socket ${bind}` : undefined),
    faults,
    (index, what) => ({
      path: ['egress', index, ...(what.startsWith('port') ? ['port', 'number'] : ['bind'])],
      message: `${what} is there twice in \`egress\`; keep one`,
    }),
  );
}

/** What comes out of TLS is HTTP or bytes, as the port says. */
function checkTerminated(tls: IngressTls, protocol: string | undefined, path: FieldPath, faults: FaultList): void {
  if (passesThrough(tls) || ['HTTPS', 'TLS'].includes(protocol?.toUpperCase() ?? '')) return;
  const message = 'TLS is ended at ports of HTTPS (for HTTP) and TLS (for TCP) alone; write one of them as `protocol`';
  faults.error(path, 'protocol', message, 'key');
}

type Egress = NonNullable<NonNullable<Loose<SidecarSpec>['egress']>[number]>;

/** What an application calls itself has a port. */
function checkOwnPort(listener: Egress, path: FieldPath, faults: FaultList): void {
  const { bind, captureMode } = listener;
  for (const [field, isSet] of [
    ['bind', bind !== undefined && bind !== ''],
    ['captureMode', captureMode === 'NONE'],
  ] as const) {
    if (!isSet || 'port' in listener) continue;
    const message = `\`${field}\` is not supported without a port; add \`port\`, one listener for each, or remove it`;
    faults.error([...path, field], 'unsupported', message);
  }
}

/** Hosts that others in the list take in already. */
function checkDoubleHosts(
  hosts: readonly (string | undefined)[] | undefined,
  own: string,
  path: FieldPath,
  faults: FaultList,
): void {
  const entries = [...present(hosts)].map(([index, text]) => {
    const { namespace = '', host } = splitNamespacedHost(text);
    return { index, text, namespace: namespace === '.' ? own : namespace, host };
  });
  for (const { index, text, namespace, host } of entries) {
    if (namespace === '~' || namespace === '') continue;
    const other = entries.find((each) => {
      if (each.index === index) return false;
      const isSame = each.namespace === namespace && each.host === host;
      if (isSame) return each.index < index;
      return each.host === '*' && (each.namespace === '*' || each.namespace === namespace);
    });
    if (!other) continue;
    const what = other.text === text ? 'is there twice' : `is taken in by \`${other.text}\` already`;
    faults.warning([...path, index], 'duplicate', `host \`${text}\` ${what}; keep one`);
  }
}

function checkEgressProxy({ outboundTrafficPolicy }: Loose<SidecarSpec>, faults: FaultList): void {
  const { egressProxy, mode } = outboundTrafficPolicy ?? {};
  if (!outboundTrafficPolicy || !egressProxy) return;
  const path = ['outboundTrafficPolicy', 'egressProxy'];
  if (mode !== 'ALLOW_ANY' && !('mode' in outboundTrafficPolicy && mode === undefined)) {
    faults.error(path, 'one-of', '`egressProxy` is for mode ALLOW_ANY; add `mode: ALLOW_ANY`, or remove it', 'key');
  }
  const wrong = egressProxy.host === undefined ? undefined : dnsNameFault(egressProxy.host);
  if (wrong) faults.error([...path, 'host'], 'host', `host \`${egressProxy.host}\` ${wrong}; write a DNS name`);
  if (!('port' in egressProxy) || (egressProxy.port && !('number' in egressProxy.port))) {
    faults.error(path, 'required', '`port.number` is required in `egressProxy`; add it');
  }
}
