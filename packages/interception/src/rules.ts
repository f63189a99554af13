// Rules, step 3: an Interception as rules of the kernel's packet filter, decided once for nftables.ts and iptables.ts.
//
// Their order is Istio's, which is what annotations rely on: what is excluded wins over what is included, the proxy's own
// traffic over both, and connections of the application to itself by an address of the pod are never touched.
import type { Family, Interception } from './interception.js';
import { type Action, type Chain, familyOf, LOCALHOST, type Match, PASSTHROUGH_SOURCE, type Rule } from './rule.js';
import { inboundTproxyRules, outboundMarkRules } from './tproxy-rules.js';

/** Replies to the application by the proxy, and what the proxy itself sends for it, are tracked apart: else a query with the
 * same addresses and ports as the application's would be answered by the redirect, endlessly. */
const ZONE_OF_PROXY = 1;
const ZONE_OF_APPLICATION = 2;
const DNS_PORT = 53;

const RETURN: Action = { kind: 'return' };

/** Chains in the order in which packets meet them; empty ones are left out. */
export function buildChains(interception: Interception): Chain[] {
  const tproxy = interception.inboundMode === 'TPROXY';
  const chains: Chain[] = [
    { table: 'raw', hook: 'prerouting', rules: dnsReplyRules(interception) },
    { table: 'raw', hook: 'output', rules: dnsZoneRules(interception) },
    {
      table: 'mangle',
      hook: 'prerouting',
      rules: [
        ...(interception.dropInvalid ? [{ match: { state: 'invalid' }, action: { kind: 'drop' } } as const] : []),
        ...(tproxy ? inboundTproxyRules(interception) : []),
      ],
    },
    { table: 'mangle', hook: 'output', rules: tproxy ? outboundMarkRules(interception) : [] },
    {
      table: 'nat',
      hook: 'prerouting',
      rules: [...virtualMachineRules(interception), ...(tproxy ? [] : inboundRules(interception))],
    },
    { table: 'nat', hook: 'output', rules: outboundRules(interception) },
  ];
  return chains
    .map((chain) => ({ ...chain, rules: chain.rules.filter((rule) => isNeeded(rule, interception.families)) }))
    .filter(({ rules }) => rules.length > 0);
}

function isNeeded(rule: Rule, families: readonly Family[]): boolean {
  const family = familyOf(rule);
  return family === undefined || families.includes(family);
}

function inboundRules(interception: Interception): Rule[] {
  const { excludedInterfaces, tunnelPort, inboundPort, inboundPorts, excludedInboundPorts } = interception;
  const action: Action = { kind: 'redirect', port: inboundPort };
  const rules: Rule[] = excludedInterfaces.map((name) => ({ match: { inInterface: name }, action: RETURN }));
  if (inboundPorts === 'all') {
    const ports = [...new Set([tunnelPort, ...excludedInboundPorts])];
    rules.push({ match: { protocol: 'tcp', ports }, action: RETURN }, { match: { protocol: 'tcp' }, action });
  } else if (inboundPorts.length > 0) {
    // The ports that are left alone do not count here, as in Istio.
    rules.push({ match: { protocol: 'tcp', ports: [tunnelPort] }, action: RETURN });
    rules.push({ match: { protocol: 'tcp', ports: inboundPorts }, action });
  }
  return rules;
}

/** What virtual machines behind an interface send counts as sent by the pod. */
function virtualMachineRules({ virtualInterfaces, outboundRanges, proxyPort }: Interception): Rule[] {
  const action: Action = { kind: 'redirect', port: proxyPort };
  return virtualInterfaces.flatMap((inInterface): Rule[] => [
    ...(outboundRanges === 'all'
      ? [{ match: { protocol: 'tcp', inInterface }, action } as const]
      : outboundRanges.map(
          (destination) => ({ match: { protocol: 'tcp', inInterface, destination }, action }) as const,
        )),
    { match: { inInterface }, action: RETURN },
  ]);
}

function outboundRules(interception: Interception): Rule[] {
  const { proxyPort, excludedInterfaces, excludedOutboundPorts, excludedOutboundRanges } = interception;
  const { outboundPorts, outboundRanges } = interception;
  const action: Action = { kind: 'redirect', port: proxyPort };
  const rules: Rule[] = excludedInterfaces.map((name) => ({ match: { outInterface: name }, action: RETURN }));
  if (excludedOutboundPorts.length > 0) {
    rules.push({ match: { protocol: 'tcp', ports: excludedOutboundPorts }, action: RETURN });
    rules.push({ match: { protocol: 'udp', ports: excludedOutboundPorts }, action: RETURN });
  }
  for (const source of PASSTHROUGH_SOURCE) rules.push({ match: { outInterface: 'lo', source }, action: RETURN });
  rules.push(...proxyRules(interception), ...ownerGroupRules(interception), ...dnsRedirectRules(interception));
  for (const destination of LOCALHOST) rules.push({ match: { destination }, action: RETURN });
  for (const destination of excludedOutboundRanges) rules.push({ match: { destination }, action: RETURN });
  if (outboundPorts.length > 0) rules.push({ match: { protocol: 'tcp', ports: outboundPorts }, action });
  if (outboundRanges === 'all') rules.push({ match: { protocol: 'tcp' }, action });
  else for (const destination of outboundRanges) rules.push({ match: { protocol: 'tcp', destination }, action });
  return rules;
}

/**
 * The proxy's own traffic passes, except to another address of the pod: that is the application calling itself by the address
 * of its service, which comes in like anybody else's.
 */
function proxyRules(interception: Interception): Rule[] {
  const { proxyUids, proxyGids, inboundPort, tunnelPort, dns, outboundRanges } = interception;
  const loopbackWanted = outboundRanges !== 'all' && outboundRanges.some(({ isLoopback }) => isLoopback);
  const notPorts = dns === undefined ? [tunnelPort] : [DNS_PORT, tunnelPort];
  // A name server may listen on this machine: queries of the application to it are captured, further down.
  const ofApplication: Match = dns === undefined ? {} : { protocol: 'tcp', notPorts: [DNS_PORT] };
  const forOwner = (is: Match, isNot: Match): Rule[] => [
    ...LOCALHOST.map(
      (notDestination): Rule => ({
        match: { outInterface: 'lo', protocol: 'tcp', notDestination, notPorts, ...is },
        action: { kind: 'redirect', port: inboundPort },
      }),
    ),
    ...(loopbackWanted ? [] : [{ match: { outInterface: 'lo', ...ofApplication, ...isNot }, action: RETURN }]),
    { match: is, action: RETURN },
  ];
  return [
    // Without users the proxy is known by its group alone.
    ...(proxyUids.length === 0 ? [] : forOwner({ users: proxyUids }, { notUsers: proxyUids })),
    ...forOwner({ groups: proxyGids }, { notGroups: proxyGids }),
  ];
}

function ownerGroupRules({ ownerGroups: { kind, groups } }: Interception): Rule[] {
  if (groups.length === 0) return [];
  return [{ match: kind === 'only' ? { notGroups: groups } : { groups }, action: RETURN }];
}

function dnsRedirectRules({ dns }: Interception): Rule[] {
  if (dns === undefined) return [];
  const action: Action = { kind: 'redirect', port: dns.port };
  return (['tcp', 'udp'] as const).flatMap((protocol): Rule[] =>
    dns.servers === 'all'
      ? [{ match: { protocol, ports: [DNS_PORT] }, action }]
      : dns.servers.map((destination) => ({ match: { protocol, ports: [DNS_PORT], destination }, action })),
  );
}

function dnsZoneRules({ dns, proxyUids, proxyGids }: Interception): Rule[] {
  if (dns === undefined) return [];
  const ofProxy: Action = { kind: 'zone', zone: ZONE_OF_PROXY };
  const ofApplication: Action = { kind: 'zone', zone: ZONE_OF_APPLICATION };
  const ofOwner = (owner: Match): Rule[] => [
    { match: { protocol: 'udp', ports: [DNS_PORT], ...owner }, action: ofProxy },
    { match: { protocol: 'udp', sourcePort: dns.port, ...owner }, action: ofApplication },
  ];
  const queries: Rule[] =
    dns.servers === 'all'
      ? [{ match: { protocol: 'udp', ports: [DNS_PORT] }, action: ofApplication }]
      : dns.servers.map((destination) => ({
          match: { protocol: 'udp', ports: [DNS_PORT], destination },
          action: ofApplication,
        }));
  const ofUsers = proxyUids.length === 0 ? [] : ofOwner({ users: proxyUids });
  return [...ofUsers, ...ofOwner({ groups: proxyGids }), ...queries];
}

function dnsReplyRules({ dns }: Interception): Rule[] {
  if (dns === undefined) return [];
  const action: Action = { kind: 'zone', zone: ZONE_OF_PROXY };
  if (dns.servers === 'all') return [{ match: { protocol: 'udp', sourcePort: DNS_PORT }, action }];
  return dns.servers.map((source) => ({ match: { protocol: 'udp', sourcePort: DNS_PORT, source }, action }));
}
