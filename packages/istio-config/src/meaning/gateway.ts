// Meaning of Gateway.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import type { Server } from '../kinds/fields/server.js';
import type { GatewaySpec } from '../kinds/gateway.js';
import { isHttpProtocol, type PortProtocol, protocolFromName } from '../port-protocol.js';
import type { FieldPath } from '../problem.js';
import { checkBind, isSocketAddress, socketAddressFault } from './fields/addresses.js';
import { checkServerHost } from './fields/namespaced-host.js';
import { checkServerTls, passesThrough } from './fields/server-tls.js';
import { checkProtocol, checkUnique, type MeaningRule, present } from './rule.js';

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
  checkBind(bind, { sockets: true }, [...path, 'bind'], faults);
  if (bind && isSocketAddress(bind) && socketAddressFault(bind) === undefined) {
    faults.error([...path, 'bind'], 'unsupported', 'sockets (`unix://`) are not supported yet; write an address');
  }
  checkProtocol(port?.protocol, [...path, 'port', 'protocol'], faults);
  if (port && 'targetPort' in port) {
    const message = '`targetPort` has no effect in a Gateway; remove it';
    faults.error([...path, 'port', 'targetPort'], 'no-effect', message, 'key');
  }
  checkTlsFits(server, path, faults);
  if (tls) checkServerTls(tls, [...path, 'tls'], faults);
}

const FILES = ['serverCertificate', 'privateKey', 'caCertificates'] as const;

function checkTlsFits(server: Loose<Server>, path: FieldPath, faults: FaultList): void {
  const { port, tls } = server;
  const protocol = port?.protocol === undefined ? undefined : protocolFromName(port.protocol);
  if (!protocol) return;
  if (isEncrypted(protocol)) {
    if (!('tls' in server)) {
      faults.error(path, 'required', `a server with protocol ${port?.protocol} needs \`tls\`; add it with a mode`);
    }
  } else if (tls && !isHttpProtocol(protocol)) {
    const message = `protocol ${port?.protocol} has no TLS, so \`tls\` has no place; remove it, or use TLS`;
    faults.error([...path, 'tls'], 'one-of', message, 'key');
  } else if (tls) {
    const advice = 'remove it, or use HTTPS or TLS';
    const fields = [...(passesThrough(tls) ? [] : (['mode'] as const)), ...FILES];
    for (const field of fields) {
      if (!(field in tls) || tls[field] === undefined) continue;
      const message = `protocol ${port?.protocol} has no TLS, so \`${field}\` has no place; ${advice}`;
      faults.error([...path, 'tls', field], 'one-of', message, field === 'mode' ? 'value' : 'key');
    }
  }
  if (tls?.httpsRedirect === true && !isHttpProtocol(protocol)) {
    const message = '`httpsRedirect` is for a server with protocol HTTP and has no effect here; remove it';
    faults.warning([...path, 'tls', 'httpsRedirect'], 'no-effect', message);
  }
}

function isEncrypted(protocol: PortProtocol): boolean {
  return protocol === 'https' || protocol === 'tls';
}

/** Names of ports are unique; servers on the same port agree in protocol; a host belongs to one of them. */
function checkPorts({ servers }: Loose<GatewaySpec>, faults: FaultList): void {
  const names = new Set<string>();
  const ports = new Map<string, { readonly protocol: PortProtocol; readonly hosts: Set<string> }>();
  for (const [index, { port, hosts, bind = '' }] of present(servers)) {
    const path = ['servers', index];
    if (port?.name !== undefined) {
      if (names.has(port.name)) {
        const message = `port name \`${port.name}\` is there twice; give each server's port its own name`;
        faults.error([...path, 'port', 'name'], 'duplicate', message);
      }
      names.add(port.name);
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
      const name = host.toLowerCase();
      if (earlier.hosts.has(name)) {
        const message = `host \`${host}\` is there twice on port ${port.number}, and the first is used; keep one`;
        faults.warning([...path, 'hosts', at], 'duplicate', message);
      }
      earlier.hosts.add(name);
    }
  }
}

/** Protocols that can share a port: those that are told apart by SNI, those that are HTTP in plain text. */
function layer(protocol: PortProtocol): string {
  if (isEncrypted(protocol)) return 'tls';
  return isHttpProtocol(protocol) ? 'http' : protocol;
}
