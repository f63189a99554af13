// Meaning of ServiceEntry.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { dnsNameFault, isDnsLabel, isIpAddress, wildcardNameFault } from '../declare/formats.js';
import type { ServiceEntrySpec } from '../kinds/service-entry.js';
import { isHttpProtocol, protocolFromName } from '../port-protocol.js';
import type { FieldPath } from '../problem.js';
import { isSocketAddress, socketAddressFault } from './fields/addresses.js';
import { checkExportTo } from './fields/export-to.js';
import { partialWildcardFault } from './fields/namespaced-host.js';
import { checkProtocol, checkSelector, checkUnique, type MeaningRule, present } from './rule.js';

type Spec = Loose<ServiceEntrySpec>;

export const checkServiceEntry: MeaningRule<ServiceEntrySpec> = (spec, faults, { namespace }) => {
  checkHosts(spec, faults);
  checkPorts(spec, faults);
  checkSelector(spec.workloadSelector, ['workloadSelector'], faults);
  checkExportTo(spec.exportTo, { namespace, nobody: true }, faults);
  // Where the resolution was wrong, what depends on it is not known.
  if ('resolution' in spec && spec.resolution === undefined) return;
  checkAddresses(spec, faults);
  checkManyHosts(spec, faults);
  checkEndpoints(spec, faults);
};

function resolutionOf({ resolution }: Spec): string {
  return resolution ?? 'NONE';
}

/** Names are looked up by DNS. */
function byDns(spec: Spec): boolean {
  return resolutionOf(spec) === 'DNS' || resolutionOf(spec) === 'DNS_ROUND_ROBIN';
}

function checkHosts(spec: Spec, faults: FaultList): void {
  const { hosts, endpoints } = spec;
  for (const [index, host] of present(hosts)) {
    const path = ['hosts', index];
    const wrong = host === '*' ? 'takes in everything' : isIpAddress(host) ? 'is an address' : wildcardNameFault(host);
    if (wrong) {
      faults.error(path, 'host', `host \`${host}\` ${wrong}; write a DNS name such as api.example.com`);
      continue;
    }
    const partial = partialWildcardFault(host);
    if (partial) faults.warning(path, 'host', `host \`${host}\` ${partial}; write a wildcard such as *.example.com`);
    if (!byDns(spec) || 'endpoints' in spec || !host.includes('*')) continue;
    const message = `a wildcard cannot be resolved by ${resolutionOf(spec)}; name the host, add endpoints, or use resolution NONE`;
    faults.error(path, 'resolution', message);
  }
  if (byDns(spec) && endpoints?.length === 0 && hosts?.some((host) => host?.includes('*'))) {
    faults.error(['endpoints'], 'resolution', 'a wildcard cannot be resolved without endpoints; add one');
  }
  checkUnique(
    hosts,
    (host) => host.toLowerCase(),
    faults,
    (index, host) => ({
      path: ['hosts', index],
      message: `host \`${host}\` is there twice; keep one`,
    }),
  );
}

function checkPorts(spec: Spec, faults: FaultList): void {
  const { ports } = spec;
  if (!ports || ports.length === 0) {
    faults.warning(['ports'], 'required', 'no ports, so the service cannot be called; add one');
  }
  for (const [index, { name, protocol, ...port }] of present(ports)) {
    const path = ['ports', index];
    if (name && !isDnsLabel(name)) {
      faults.error([...path, 'name'], 'name', `\`${name}\` is not a port's name; write letters, digits and \`-\``);
    }
    // No word at all means that the protocol is detected.
    if (protocol) checkProtocol(protocol, [...path, 'protocol'], faults);
    if (port.targetPort !== undefined && resolutionOf(spec) === 'NONE') {
      const message = 'with resolution NONE a connection goes to the port that was dialled; remove `targetPort`';
      faults.warning([...path, 'targetPort'], 'no-effect', message, 'key');
    }
  }
  checkUnique(
    ports,
    ({ name }) => name,
    faults,
    (index, name) => ({
      path: ['ports', index, 'name'],
      message: `port name \`${name}\` is there twice; give each port its own`,
    }),
  );
  checkUnique(
    ports,
    ({ number }) => number?.toString(),
    faults,
    (index, number) => ({
      path: ['ports', index, 'number'],
      message: `port ${number} is there twice; keep one`,
    }),
  );
}

function checkAddresses(spec: Spec, faults: FaultList): void {
  const resolution = resolutionOf(spec);
  const cidr = [...present(spec.addresses)].find(([, address]) => address.includes('/'));
  if (cidr && resolution !== 'NONE' && resolution !== 'STATIC') {
    const message = `a subnet needs resolution NONE or STATIC, not ${resolution}; write an address, or change it`;
    faults.error(['addresses', cidr[0]], 'resolution', message);
  }
  const hasTcpOnly = [...present(spec.ports)].every(([, port]) => protocolFromName(port.protocol || 'TCP') === 'tcp');
  const isOpen = (spec.addresses?.length ?? 0) === 0 && resolution === 'NONE' && spec.location !== 'MESH_INTERNAL';
  if (isOpen && hasTcpOnly && (spec.ports?.length ?? 0) > 0) {
    const message = 'TCP without an address takes in all traffic of its ports; add `addresses`';
    faults.warning([], 'addresses', message);
  }
}

/** Several hosts on one port are told apart by what the client says: a Host header, or a server name in TLS. */
function checkManyHosts(spec: Spec, faults: FaultList): void {
  if ((spec.hosts?.length ?? 0) < 2 || resolutionOf(spec) === 'NONE') return;
  for (const [index, port] of present(spec.ports)) {
    if ('protocol' in port && port.protocol === undefined) continue;
    const protocol = protocolFromName(port.protocol ?? '') ?? 'tcp';
    if (isHttpProtocol(protocol) || protocol === 'https' || protocol === 'tls') continue;
    const message = `several hosts cannot be told apart in ${port.protocol || 'a protocol that is not named'}; write a ServiceEntry for each, or a protocol with HTTP or TLS`;
    faults.error('protocol' in port ? ['ports', index, 'protocol'] : ['ports', index], 'hosts', message);
  }
}

function checkEndpoints(spec: Spec, faults: FaultList): void {
  const { endpoints, workloadSelector, ports } = spec;
  const resolution = resolutionOf(spec);
  const count = endpoints?.length ?? 0;
  if (resolution === 'NONE' && count > 0) {
    const message = 'resolution NONE goes where the client dialled and takes no endpoints; remove them, or use STATIC';
    faults.error(['endpoints'], 'resolution', message, 'key');
  }
  if (resolution === 'STATIC' && !('endpoints' in spec) && !workloadSelector) {
    const message = 'resolution STATIC without `endpoints` or `workloadSelector` has nobody to answer; add one';
    faults.warning([], 'resolution', message);
  }
  if (workloadSelector && resolution !== 'STATIC') {
    const message = `\`workloadSelector\` has no effect with resolution ${resolution}; use STATIC, or remove it`;
    faults.warning(['workloadSelector'], 'resolution', message, 'key');
  }
  if (resolution === 'DNS_ROUND_ROBIN' && count > 1) {
    faults.error(['endpoints', 1], 'resolution', 'resolution DNS_ROUND_ROBIN takes one endpoint; keep one, or use DNS');
  }
  const portNames = new Set([...present(ports)].map(([, { name }]) => name));
  for (const [index, endpoint] of present(endpoints)) {
    const path = ['endpoints', index];
    checkEndpointAddress(endpoint, resolution, path, faults);
    for (const name of Object.keys(endpoint.ports ?? {})) {
      if (portNames.has(name)) continue;
      const message = `the service has no port named \`${name}\`; use one of its names`;
      faults.error([...path, 'ports', name], 'reference', message, 'key');
    }
    if (!endpoint.address || !isSocketAddress(endpoint.address)) continue;
    checkSocketPorts(endpoint, ports?.length ?? 0, path, faults);
  }
}

type Endpoint = NonNullable<NonNullable<Spec['endpoints']>[number]>;

/** A socket has no ports, so nothing says which of several ports of the service it is. */
function checkSocketPorts(endpoint: Endpoint, servicePorts: number, path: FieldPath, faults: FaultList): void {
  if ('ports' in endpoint && Object.keys(endpoint.ports ?? { wrong: 0 }).length > 0) {
    faults.error([...path, 'ports'], 'one-of', 'a socket has no ports; remove them', 'key');
  }
  if (servicePorts !== 1) {
    const message = `a service with a socket has exactly one port, not ${servicePorts}; keep one`;
    faults.error([...path, 'address'], 'one-of', message);
  }
}

function checkEndpointAddress(endpoint: Endpoint, resolution: string, path: FieldPath, faults: FaultList): void {
  const { address, network } = endpoint;
  const at = [...path, 'address'];
  if (!address) {
    if ('address' in endpoint && address === undefined) return;
    if (network && resolution === 'STATIC') {
      const message = `without an address the endpoint is reached by the gateway of network \`${network}\`; is that meant?`;
      faults.warning(path, 'required', message);
    } else {
      faults.error(path, 'required', '`address` is required in an endpoint; add it');
    }
  } else if (isSocketAddress(address)) {
    const wrong = socketAddressFault(address);
    if (wrong) faults.error(at, 'address', wrong);
    if (resolution !== 'STATIC') {
      faults.error(at, 'resolution', `a socket needs resolution STATIC, not ${resolution}; change it`);
    }
  } else if (!isIpAddress(address)) {
    if (resolution === 'STATIC') {
      const message = `\`${address}\` is not an IP address, as STATIC needs; write one, or use resolution DNS`;
      faults.error(at, 'address', message);
    } else if (dnsNameFault(address) !== undefined) {
      faults.error(at, 'address', `\`${address}\` is not an address; write an IP address or a DNS name`);
    }
  }
}
