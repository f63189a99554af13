// Meaning of VirtualService (Istio's reference page, and what its webhook refuses).
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { hostMatches } from '../host.js';
import type { VirtualServiceSpec } from '../kinds/virtual-service.js';
import { checkHttpRoutes } from './http-route.js';
import { checkGatewayNames, checkWeights, hostOrAddressFault, type MeaningRule, present } from './rule.js';

export const checkVirtualService: MeaningRule<VirtualServiceSpec> = (spec, faults) => {
  checkHosts(spec, faults);
  checkGatewayNames(spec.gateways, ['gateways'], faults);
  if (!('http' in spec) && !('tls' in spec) && !('tcp' in spec)) {
    faults.error([], 'required', 'the VirtualService has no rules; add `http`, `tls` or `tcp`');
  }
  for (const field of ['http', 'tls', 'tcp'] as const) {
    if (spec[field]?.length === 0) faults.error([field], 'required', `\`${field}\` has no rules; add one or remove it`);
  }
  checkHttpRoutes(spec.http, faults);
  checkConnectionRoutes(spec.tcp, 'tcp', faults);
  checkConnectionRoutes(spec.tls, 'tls', faults);
  checkSniHosts(spec, faults);
};

function checkHosts(spec: Loose<VirtualServiceSpec>, faults: FaultList): void {
  const { hosts, gateways } = spec;
  if ('hosts' in spec && hosts === undefined) return;
  if (hosts === undefined || hosts.length === 0) {
    const advice =
      'add the hosts that requests are for (only a delegate has none, and delegation is not supported yet)';
    faults.error(['hosts'], 'required', `\`hosts\` is required in VirtualService; ${advice}`);
    return;
  }
  const inMesh = !gateways || gateways.length === 0 || gateways.includes('mesh');
  const seen: string[] = [];
  for (const [index, host] of present(hosts)) {
    const path = ['hosts', index];
    const wrong = hostOrAddressFault(host);
    if (wrong) {
      faults.error(path, 'host', wrong);
      continue;
    }
    if (host === '*' && inMesh) {
      faults.error(path, 'host', 'host `*` cannot be used in the mesh; name the hosts, or bind to a gateway only');
    }
    const other = seen.find((earlier) => hostMatches(earlier, host) || hostMatches(host, earlier));
    if (other !== undefined) {
      const what = other.toLowerCase() === host.toLowerCase() ? 'is there twice' : `overlaps with \`${other}\``;
      faults.error(path, 'duplicate', `host \`${host}\` ${what}; keep one of them`);
    }
    seen.push(host);
  }
}

type ConnectionRoutes = Loose<VirtualServiceSpec['tcp']> | Loose<VirtualServiceSpec['tls']>;

function checkConnectionRoutes(routes: ConnectionRoutes, field: 'tcp' | 'tls', faults: FaultList): void {
  for (const [index, rule] of present<NonNullable<NonNullable<ConnectionRoutes>[number]>>(routes)) {
    const path = [field, index];
    if (!('route' in rule) || rule.route?.length === 0) {
      faults.error(path, 'required', `the ${field} rule leads nowhere; add \`route\` with a destination`);
    }
    checkWeights(rule.route, [...path, 'route'], faults);
    for (const [at, match] of present<{ readonly gateways?: readonly (string | undefined)[] }>(rule.match)) {
      checkGatewayNames(match.gateways, [...path, 'match', at, 'gateways'], faults);
    }
  }
}

/** Each SNI host has to fall under one of the hosts of the VirtualService. */
function checkSniHosts({ hosts, tls }: Loose<VirtualServiceSpec>, faults: FaultList): void {
  for (const [ruleIndex, rule] of present(tls)) {
    for (const [matchIndex, match] of present(rule.match)) {
      for (const [index, sni] of present(match.sniHosts)) {
        if (hosts?.some((host) => host !== undefined && hostMatches(host, sni))) continue;
        const path = ['tls', ruleIndex, 'match', matchIndex, 'sniHosts', index];
        faults.error(
          path,
          'host',
          `SNI host \`${sni}\` is not among the hosts of the VirtualService; add it to \`hosts\``,
        );
      }
    }
  }
}
