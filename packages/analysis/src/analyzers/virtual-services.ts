// Analyzers: VirtualServices: what they refer to, which of their rules are never reached, and which compete.

import {
  type ConfigObject,
  type FieldPath,
  fullGatewayName,
  hostMatches,
  resolveShortHost,
  splitNamespacedHost,
} from '@lateen/istio-config';
import type { Report } from '../finding.js';
import type { KnownHost, MeshModel } from '../model/mesh-model.js';

type VirtualService = ConfigObject<'VirtualService'>;

interface Destination {
  readonly host?: string;
  readonly subset?: string;
  readonly port?: { readonly number?: number };
}

export function analyzeVirtualServices(model: MeshModel, report: Report): void {
  for (const service of model.of('VirtualService')) {
    for (const { destination, path } of destinationsOf(service))
      checkDestination(model, service, destination, path, report);
    checkGateways(model, service, report);
    checkDelegates(model, service, report);
    checkHttpOnOtherPorts(model, service, report);
    checkClaims(model, service, report);
    checkTimes(service, report);
  }
  checkSharedHosts(model, report);
}

interface PlacedDestination {
  readonly destination: Destination;
  readonly path: FieldPath;
}

/** Every destination of a VirtualService, mirrors included. */
function destinationsOf({ spec }: VirtualService): PlacedDestination[] {
  const found: PlacedDestination[] = [];
  const add = (destination: Destination | undefined, path: FieldPath) => {
    if (destination?.host !== undefined) found.push({ destination, path });
  };
  for (const family of ['http', 'tls', 'tcp'] as const) {
    for (const [rule, { route = [] }] of (spec[family] ?? []).entries()) {
      for (const [index, { destination }] of route.entries()) {
        add(destination, ['spec', family, rule, 'route', index, 'destination']);
      }
    }
  }
  for (const [rule, http] of (spec.http ?? []).entries()) {
    add(http.mirror, ['spec', 'http', rule, 'mirror']);
    for (const [index, mirror] of (http.mirrors ?? []).entries()) {
      add(mirror.destination, ['spec', 'http', rule, 'mirrors', index, 'destination']);
    }
  }
  return found;
}

function checkDestination(
  model: MeshModel,
  service: VirtualService,
  destination: Destination,
  path: FieldPath,
  report: Report,
): void {
  const { namespace } = service.metadata;
  const host = destination.host ?? '';
  const known = model.hostsNamed(host, namespace);
  if (model.knowsServices && known.length === 0) {
    const elsewhere = otherNamespace(model, host);
    const advice =
      elsewhere === undefined
        ? 'correct the name, or add a Service or ServiceEntry'
        : `there is one in ${elsewhere}: write ${host}.${elsewhere}.svc.cluster.local`;
    report('IST0101', service, [...path, 'host'], `no host ${resolveShortHost(host, namespace)} is known; ${advice}`);
    return;
  }
  checkPort(service, destination, known, path, report);
  if (destination.subset !== undefined) checkSubset(model, service, host, destination.subset, path, report);
}

/** A namespace that has a service of this short name. */
function otherNamespace(model: MeshModel, host: string): string | undefined {
  if (host.includes('.')) return undefined;
  return model.hosts.find((known) => known.host.startsWith(`${host}.`))?.namespace;
}

function checkPort(
  service: VirtualService,
  { port }: Destination,
  known: readonly KnownHost[],
  path: FieldPath,
  report: Report,
): void {
  const ports = [...new Set(known.flatMap((each) => each.ports.map((of) => of.port)))].sort((a, b) => a - b);
  if (ports.length === 0) return;
  if (port?.number === undefined) {
    if (ports.length > 1)
      report(
        'IST0112',
        service,
        [...path, 'host'],
        `${known[0]!.host} has the ports ${ports.join(', ')}: say which with port.number`,
      );
  } else if (!ports.includes(port.number)) {
    report(
      'IST0101',
      service,
      [...path, 'port', 'number'],
      `${known[0]!.host} has no port ${port.number}; it has ${ports.join(', ')}`,
    );
  }
}

function checkSubset(
  model: MeshModel,
  service: VirtualService,
  host: string,
  subset: string,
  path: FieldPath,
  report: Report,
): void {
  const { namespace } = service.metadata;
  const full = resolveShortHost(host, namespace);
  const rules = model
    .of('DestinationRule')
    .filter(({ spec, metadata }) => hostMatches(resolveShortHost(spec.host, metadata.namespace), full));
  const subsets = rules.flatMap(({ spec }) => (spec.subsets ?? []).map(({ name }) => name));
  if (subsets.includes(subset)) return;
  const there =
    rules.length === 0
      ? 'no DestinationRule is for this host'
      : `its DestinationRules have ${subsets.join(', ') || 'no subsets'}`;
  report(
    'IST0101',
    service,
    [...path, 'subset'],
    `no subset ${subset} of ${full} (${there}); requests there are answered 503: add the subset`,
  );
}

function checkGateways(model: MeshModel, service: VirtualService, report: Report): void {
  const gateways = model.of('Gateway');
  const { namespace } = service.metadata;
  for (const [index, name] of (service.spec.gateways ?? []).entries()) {
    if (name === 'mesh') continue;
    const full = fullGatewayName(name, namespace);
    const gateway = gateways.find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === full);
    if (gateway === undefined) {
      report(
        'IST0101',
        service,
        ['spec', 'gateways', index],
        `there is no Gateway ${full}; add it, or correct the name`,
      );
      continue;
    }
    const offered = (gateway.spec.servers ?? []).flatMap(({ hosts = [] }) => hosts.map(splitNamespacedHost));
    const lost = (service.spec.hosts ?? []).filter(
      (host) =>
        !offered.some(
          (each) =>
            (each.namespace === undefined ||
              each.namespace === '*' ||
              each.namespace === namespace ||
              (each.namespace === '.' && gateway.metadata.namespace === namespace)) &&
            (hostMatches(each.host, host) || hostMatches(host, each.host)),
        ),
    );
    if (lost.length > 0) {
      report(
        'IST0132',
        service,
        ['spec', 'hosts'],
        `${lost.join(', ')}: no server of the Gateway ${full} has it, so that nothing is routed there; add it to a server's hosts`,
      );
    }
  }
  if ((service.spec.gateways ?? []).some((name) => name !== 'mesh') && !(service.spec.gateways ?? []).includes('mesh'))
    checkIngressSubsets(model, service, report);
}

/** A rule for the service's own name, but only at a gateway: callers in the mesh do not see it. */
function checkIngressSubsets(model: MeshModel, service: VirtualService, report: Report): void {
  const hosts = (service.spec.hosts ?? []).filter((host) => host !== '*' && !host.startsWith('*.'));
  const internal = hosts.filter((host) =>
    model.hostsNamed(host, service.metadata.namespace).some(({ object }) => 'raw' in object),
  );
  if (internal.length === 0) return;
  report(
    'IST0140',
    service,
    ['spec', 'gateways'],
    `the rules for ${internal.join(', ')} hold at gateways only; for calls within the mesh add the gateway \`mesh\``,
  );
}

function checkDelegates(model: MeshModel, service: VirtualService, report: Report): void {
  const all = model.of('VirtualService');
  for (const [rule, { delegate }] of (service.spec.http ?? []).entries()) {
    if (delegate?.name === undefined) continue;
    const namespace = delegate.namespace ?? service.metadata.namespace;
    if (all.some(({ metadata }) => metadata.name === delegate.name && metadata.namespace === namespace)) continue;
    report(
      'IST0101',
      service,
      ['spec', 'http', rule, 'delegate'],
      `there is no VirtualService ${namespace}/${delegate.name} to delegate to; add it, or correct the name`,
    );
  }
}

/** Rules for HTTP at services none of whose ports speaks it: they change nothing. */
function checkHttpOnOtherPorts(model: MeshModel, service: VirtualService, report: Report): void {
  if ((service.spec.http ?? []).length === 0) return;
  for (const [index, host] of (service.spec.hosts ?? []).entries()) {
    if (host.includes('*')) continue;
    const known = model.hostsNamed(host, service.metadata.namespace).filter(({ host: each }) => !each.includes('*'));
    const ports = known.flatMap((each) => each.ports);
    if (ports.length === 0 || ports.some(({ protocol }) => HTTP_LIKE.has(protocol))) continue;
    const said = ports.map(({ port, name, protocol }) => `${port} (${name === '' ? protocol : name})`).join(', ');
    report(
      'LAT0003',
      service,
      ['spec', 'hosts', index],
      `rules under http have no effect: no port of ${host} speaks HTTP: ${said}; name the port http-…, or set appProtocol: http`,
    );
  }
}

const HTTP_LIKE = new Set(['http', 'http2', 'grpc', 'grpc-web', 'auto', 'unknown']);

/** Routes by claims need somebody who checks the tokens at the same gateway. */
function checkClaims(model: MeshModel, service: VirtualService, report: Report): void {
  const gateways = (service.spec.gateways ?? [])
    .filter((name) => name !== 'mesh')
    .map((name) => fullGatewayName(name, service.metadata.namespace));
  for (const [rule, { match = [] }] of (service.spec.http ?? []).entries()) {
    for (const [index, { headers = {}, withoutHeaders = {} }] of match.entries()) {
      const key = Object.keys({ ...headers, ...withoutHeaders }).find((each) =>
        each.startsWith('@request.auth.claims'),
      );
      if (key === undefined) continue;
      const unchecked = gateways.filter((name) => !isAuthenticated(model, name));
      if (unchecked.length > 0 || gateways.length === 0) {
        report(
          'IST0149',
          service,
          ['spec', 'http', rule, 'match', index],
          `it goes by ${key}, but no RequestAuthentication checks tokens at ${unchecked.join(', ') || 'sidecars, where claims are not routed by'}; add one for the gateway's pods`,
        );
      }
    }
  }
}

function isAuthenticated(model: MeshModel, name: string): boolean {
  const gateway = model.of('Gateway').find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === name);
  if (gateway === undefined) return true;
  const labels = gateway.spec.selector ?? {};
  return model.of('RequestAuthentication').some(({ spec, metadata }) => {
    const wanted = spec.selector?.matchLabels ?? {};
    return (
      [gateway.metadata.namespace, model.rootNamespace].includes(metadata.namespace) &&
      Object.entries(wanted).every(([key, value]) => labels[key] === value)
    );
  });
}

/** What makes requests slow or fail on purpose, or can never happen within the time. */
function checkTimes(service: VirtualService, report: Report): void {
  for (const [rule, { timeout, retries, fault }] of (service.spec.http ?? []).entries()) {
    const [all, each] = [timeout, retries?.perTryTimeout].map(milliseconds);
    const tries = 1 + (retries?.attempts ?? 0);
    if (all !== undefined && each !== undefined && all > 0 && each * tries > all) {
      report(
        'LAT0007',
        service,
        ['spec', 'http', rule, 'retries'],
        `${tries} tries of ${retries?.perTryTimeout} do not fit into the timeout of ${timeout}: the last are never made; raise timeout, or lower perTryTimeout`,
      );
    }
    if (fault !== undefined) {
      const kinds = [fault.delay && 'delays', fault.abort && 'errors'].filter((word) => word !== undefined);
      report(
        'LAT0008',
        service,
        ['spec', 'http', rule, 'fault'],
        `it makes ${kinds.join(' and ')} on purpose; remove it when the trial is over`,
      );
    }
  }
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function milliseconds(text: string | undefined): number | undefined {
  const parts = [...(text ?? '').matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0) return undefined;
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit!]!, 0);
}

/** Several for one host at the sidecars: only the oldest counts. */
function checkSharedHosts(model: MeshModel, report: Report): void {
  const byHost = new Map<string, VirtualService[]>();
  for (const service of model.of('VirtualService')) {
    const { gateways = ['mesh'], hosts = [], exportTo = ['*'] } = service.spec;
    if (!gateways.includes('mesh')) continue;
    for (const host of hosts) {
      const full = resolveShortHost(host, service.metadata.namespace);
      // Private ones of different namespaces do not meet.
      const scope = exportTo.includes('*') ? '*' : service.metadata.namespace;
      const key = `${full} ${scope}`;
      byHost.set(key, [...(byHost.get(key) ?? []), service]);
    }
  }
  for (const [key, services] of byHost) {
    if (services.length < 2) continue;
    const names = services.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).join(', ');
    for (const service of services) {
      report(
        'IST0109',
        service,
        ['spec', 'hosts'],
        `${names} are all for ${key.split(' ')[0]} at sidecars, and only the oldest counts; join them`,
      );
    }
  }
}
