// Meaning of ServiceEntry.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { dnsNameFault, isIpAddress, wildcardNameFault } from '../declare/formats.js';
import type { ServiceEntrySpec } from '../kinds/service-entry.js';
import { protocolFromName } from '../port-protocol.js';
import type { FieldPath } from '../problem.js';
import { checkProtocol, checkSelector, checkUnique, type MeaningRule, present } from './rule.js';

export const checkServiceEntry: MeaningRule<ServiceEntrySpec> = (spec, faults) => {
  checkHosts(spec, faults);
  checkPorts(spec, faults);
  checkSelector(spec.workloadSelector, ['workloadSelector'], faults);
  const usesAddresses = (spec.addresses?.length ?? 0) > 0;
  const cidr = [...present(spec.addresses)].find(([, address]) => address.includes('/'));
  const resolution = spec.resolution ?? 'NONE';
  if (cidr && resolution !== 'NONE' && resolution !== 'STATIC') {
    const message = `a subnet needs resolution NONE or STATIC, not ${resolution}; write an address, or change it`;
    faults.error(['addresses', cidr[0]], 'resolution', message);
  }
  const onlyTcp = [...present(spec.ports)].every(([, port]) => protocolFromName(port.protocol ?? 'TCP') === 'tcp');
  if (
    !usesAddresses &&
    resolution === 'NONE' &&
    onlyTcp &&
    (spec.ports?.length ?? 0) > 0 &&
    spec.location !== 'MESH_INTERNAL'
  ) {
    const message = 'TCP without an address takes in all traffic of its ports; add `addresses`';
    faults.warning([], 'addresses', message);
  }
  if ('resolution' in spec && spec.resolution === undefined) return;
  checkEndpoints(spec, resolution, faults);
};

function checkHosts({ hosts, resolution }: Loose<ServiceEntrySpec>, faults: FaultList): void {
  for (const [index, host] of present(hosts)) {
    const path = ['hosts', index];
    const wrong = host === '*' ? 'takes in everything' : isIpAddress(host) ? 'is an address' : wildcardNameFault(host);
    if (wrong) faults.error(path, 'host', `host \`${host}\` ${wrong}; write a DNS name such as api.example.com`);
    const dynamic = resolution === 'DYNAMIC_DNS';
    if (!wrong && host.includes('*') && (resolution === 'DNS' || resolution === 'DNS_ROUND_ROBIN') && !dynamic) {
      const message = `a wildcard cannot be resolved by ${resolution}; name the host, or use resolution NONE`;
      faults.error(path, 'resolution', message);
    }
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

function checkPorts({ ports }: Loose<ServiceEntrySpec>, faults: FaultList): void {
  if (!ports || ports.length === 0) {
    faults.warning(['ports'], 'required', 'no ports, so the service cannot be called; add one');
  }
  for (const [index, port] of present(ports)) checkProtocol(port.protocol, ['ports', index, 'protocol'], faults);
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

function checkEndpoints(spec: Loose<ServiceEntrySpec>, resolution: string, faults: FaultList): void {
  const { endpoints, workloadSelector, hosts, ports } = spec;
  const count = endpoints?.length ?? 0;
  if (resolution === 'NONE' && count > 0) {
    const message = 'resolution NONE goes where the client dialled and takes no endpoints; remove them, or use STATIC';
    faults.error(['endpoints'], 'resolution', message, 'key');
  }
  if (resolution === 'STATIC' && !('endpoints' in spec) && !workloadSelector) {
    faults.error([], 'resolution', 'resolution STATIC needs `endpoints` or `workloadSelector`; add one');
  }
  if (resolution === 'DNS_ROUND_ROBIN' && count > 1) {
    faults.error(['endpoints', 1], 'resolution', 'resolution DNS_ROUND_ROBIN takes one endpoint; keep one, or use DNS');
  }
  if (resolution.startsWith('DNS') && count === 0 && !workloadSelector) {
    const bad = [...present(hosts)].find(([, host]) => host.includes('*') || dnsNameFault(host) !== undefined);
    if (bad && !bad[1].includes('*')) {
      faults.error(['hosts', bad[0]], 'resolution', `host \`${bad[1]}\` cannot be resolved; add endpoints`);
    }
  }
  const portNames = new Set([...present(ports)].map(([, { name }]) => name));
  for (const [index, endpoint] of present(endpoints)) {
    const path = ['endpoints', index];
    checkAddress(endpoint.address, 'address' in endpoint, resolution, path, faults);
    for (const name of Object.keys(endpoint.ports ?? {})) {
      if (portNames.has(name)) continue;
      const message = `the service has no port named \`${name}\`; use one of its names`;
      faults.error([...path, 'ports', name], 'reference', message, 'key');
    }
  }
}

function checkAddress(
  address: string | undefined,
  isSet: boolean,
  resolution: string,
  path: FieldPath,
  faults: FaultList,
): void {
  if (address === undefined || address === '') {
    if (!isSet || address === '') faults.error(path, 'required', '`address` is required in an endpoint; add it');
    return;
  }
  if (isIpAddress(address) || address.startsWith('unix://')) {
    if (address.startsWith('unix://') && resolution !== 'STATIC') {
      faults.error(
        [...path, 'address'],
        'resolution',
        `a socket needs resolution STATIC, not ${resolution}; change it`,
      );
    }
    return;
  }
  if (resolution === 'STATIC') {
    const message = `\`${address}\` is not an IP address, as STATIC needs; write one, or use resolution DNS`;
    faults.error([...path, 'address'], 'address', message);
  } else if (dnsNameFault(address) !== undefined) {
    faults.error(
      [...path, 'address'],
      'address',
      `\`${address}\` is not an address; write an IP address or a DNS name`,
    );
  }
}
