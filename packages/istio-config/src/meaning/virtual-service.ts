// Meaning of VirtualService (Istio's reference page, and what its webhook refuses).
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { hostMatches } from '../host.js';
import type { VirtualServiceSpec } from '../kinds/virtual-service.js';
import { checkConnectionRoutes } from './connection-route.js';
import { checkExportTo } from './fields/export-to.js';
import { checkHttpRoutes } from './http/http-route.js';
import { checkGatewayNames, hostOrAddressFault, isSniName, type MeaningRule, present } from './rule.js';

export const checkVirtualService: MeaningRule<VirtualServiceSpec> = (spec, faults, { namespace }) => {
  const isDelegate = !('hosts' in spec) || spec.hosts?.length === 0;
  const atGatewayOnly = isForGatewaysOnly(spec);
  if (isDelegate) checkDelegate(spec, faults);
  else checkHosts(spec, atGatewayOnly, faults);
  checkGatewayNames(spec.gateways, ['gateways'], faults);
  if (!('http' in spec) && !('tls' in spec) && !('tcp' in spec)) {
    faults.error([], 'required', 'the VirtualService has no rules; add `http`, `tls` or `tcp`');
  }
  for (const field of ['http', 'tls', 'tcp'] as const) {
    if (spec[field]?.length === 0) faults.error([field], 'required', `\`${field}\` has no rules; add one or remove it`);
  }
  checkHttpRoutes(spec.http, { atGatewayOnly, isDelegate }, faults);
  checkConnectionRoutes(spec, atGatewayOnly, faults);
  checkExportTo(spec.exportTo, { namespace }, faults);
};

function isForGatewaysOnly({ gateways }: Loose<VirtualServiceSpec>): boolean {
  return gateways !== undefined && gateways.length > 0 && !gateways.includes('mesh');
}

/** Without hosts it is for others to delegate to: HTTP rules alone. */
function checkDelegate(spec: Loose<VirtualServiceSpec>, faults: FaultList): void {
  const advice = 'add the hosts that requests are for';
  for (const field of ['gateways', 'tls', 'tcp'] as const) {
    if (!(field in spec) || spec[field]?.length === 0) continue;
    faults.error(
      [field],
      'one-of',
      `a delegate (without \`hosts\`) has no \`${field}\`; ${advice}, or remove it`,
      'key',
    );
  }
}

function checkHosts({ hosts, tls }: Loose<VirtualServiceSpec>, atGatewayOnly: boolean, faults: FaultList): void {
  const seen: string[] = [];
  for (const [index, host] of present(hosts)) {
    const path = ['hosts', index];
    const wrong = tls && atGatewayOnly && isSniName(host) ? undefined : hostOrAddressFault(host);
    if (wrong) {
      faults.error(path, 'host', wrong);
      continue;
    }
    if (host === '*' && !atGatewayOnly) {
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
