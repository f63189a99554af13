// Meaning of Gateway.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { isDnsLabel, isIpAddress } from '../declare/formats.js';
import { splitNamespacedHost } from '../host.js';
import type { Server } from '../kinds/fields/server.js';
import type { GatewaySpec } from '../kinds/gateway.js';
import { protocolFromName } from '../port-protocol.js';
import type { FieldPath } from '../problem.js';
import { checkProtocol, checkUnique, hostOrAddressFault, type MeaningRule, present } from './rule.js';
import { checkServerTls } from './server-tls.js';

export const checkGateway: MeaningRule<GatewaySpec> = (spec, faults) => {
  if (!('servers' in spec) || spec.servers?.length === 0) {
    faults.error(['servers'], 'required', '`servers` is required in Gateway; add a port with its hosts');
  }
  if (!('selector' in spec) || (spec.selector && Object.keys(spec.selector).length === 0)) {
    const message =
      'no selector, so every workload of the mesh would be this gateway; add one such as istio: ingressgateway';
    faults.warning('selector' in spec ? ['selector'] : [], 'empty-selector', message);
  }
  for (const [index, server] of present(spec.servers)) checkServer(server, ['servers', index], faults);
  checkUnique(
    spec.servers,
    ({ name }) => name || undefined,
    faults,
    (index, name) => ({
      path: ['servers', index, 'name'],
      message: `server name \`${name}\` is there twice; give each its own`,
    }),
  );
  checkPorts(spec, faults);
};

function checkServer(server: Loose<Server>, path: FieldPath, faults: FaultList): void {
  const { port, hosts, bind, tls } = server;
  if (hosts?.length === 0) faults.error([...path, 'hosts'], 'required', '`hosts` has no items; add one, `*` for all');
  for (const [index, host] of present(hosts)) checkServerHost(host, [...path, 'hosts', index], faults);
  checkUnique(
    hosts,
    (host) => host.toLowerCase(),
    faults,
    (index, host) => ({
      path: [...path, 'hosts', index],
      message: `host \`${host}\` is there twice; keep one`,
    }),
  );
  if (bind !== undefined && !isIpAddress(bind) && !bind.startsWith('unix://')) {
    faults.error([...path, 'bind'], 'address', `\`${bind}\` is not an address; write an IP address or unix:///PATH`);
  }
  checkProtocol(port?.protocol, [...path, 'port', 'protocol'], faults);
  if (port && 'targetPort' in port) {
    const message = '`targetPort` of a Gateway is deprecated and has no effect; remove it';
    faults.warning([...path, 'port', 'targetPort'], 'deprecated', message, 'key');
  }
  checkTlsFits(server, path, faults);
  if (tls) checkServerTls(tls, [...path, 'tls'], faults);
}

function checkServerHost(text: string, path: FieldPath, faults: FaultList): void {
  const { namespace, host } = splitNamespacedHost(text);
  if (namespace !== undefined && namespace !== '*' && namespace !== '.' && !isDnsLabel(namespace)) {
    const message = `\`${namespace}\` is not a namespace; write a name, \`.\` for this namespace or \`*\` for all`;
    faults.error(path, 'host', message);
  }
  const wrong = isIpAddress(host)
    ? `host \`${host}\` is an address; write a DNS name or \`*\``
    : hostOrAddressFault(host);
  if (wrong) faults.error(path, 'host', wrong);
}

function checkTlsFits({ port, tls }: Loose<Server>, path: FieldPath, faults: FaultList): void {
  const protocol = port?.protocol === undefined ? undefined : protocolFromName(port.protocol);
  if (!protocol) return;
  const encrypted = protocol === 'https' || protocol === 'tls';
  if (encrypted && tls === undefined) {
    faults.error(path, 'required', `a server with protocol ${port?.protocol} needs \`tls\`; add it with a mode`);
  }
  if (!encrypted && tls && 'mode' in tls && tls.mode !== undefined) {
    const advice = 'remove it, or use HTTPS or TLS';
    faults.error(
      [...path, 'tls', 'mode'],
      'one-of',
      `protocol ${port?.protocol} has no TLS, so \`mode\` has no place; ${advice}`,
    );
  }
  if (tls?.httpsRedirect === true && protocol !== 'http') {
    const message = '`httpsRedirect` is for a server with protocol HTTP; remove it';
    faults.error([...path, 'tls', 'httpsRedirect'], 'one-of', message);
  }
}

/** Names of ports are unique; servers on the same port agree in protocol and do not share a host. */
function checkPorts({ servers }: Loose<GatewaySpec>, faults: FaultList): void {
  const names = new Map<string, number | undefined>();
  const ports = new Map<string, { readonly protocol: string; readonly hosts: Set<string> }>();
  for (const [index, { port, hosts, bind = '' }] of present(servers)) {
    const path = ['servers', index];
    if (port?.name !== undefined) {
      if (names.has(port.name)) {
        const message = `port name \`${port.name}\` is there twice; give each server's port its own name`;
        faults.error([...path, 'port', 'name'], 'duplicate', message);
      }
      names.set(port.name, port.number);
    }
    const protocol = port?.protocol === undefined ? undefined : protocolFromName(port.protocol);
    if (port?.number === undefined || !protocol) continue;
    const key = `${bind}|${port.number}`;
    const earlier = ports.get(key) ?? { protocol, hosts: new Set<string>() };
    ports.set(key, earlier);
    if (layer(earlier.protocol) !== layer(protocol)) {
      const message = `port ${port.number} is used above with another protocol; use another port`;
      faults.error([...path, 'port', 'number'], 'duplicate', message);
      continue;
    }
    for (const [at, host] of present(hosts)) {
      if (earlier.hosts.has(host.toLowerCase())) {
        const message = `host \`${host}\` is there twice on port ${port.number}; keep one`;
        faults.error([...path, 'hosts', at], 'duplicate', message);
      }
    }
    for (const [, host] of present(hosts)) earlier.hosts.add(host.toLowerCase());
  }
}

/** Protocols that can share a port: those that are told apart by SNI, those that are HTTP in plain text. */
function layer(protocol: string): string {
  if (protocol === 'https' || protocol === 'tls') return 'tls';
  if (protocol === 'http' || protocol === 'http2' || protocol === 'grpc' || protocol === 'grpc-web') return 'http';
  return protocol;
}
