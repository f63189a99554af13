// Rules, TPROXY: inbound connections reach the proxy with both their addresses, by marks and a routing table (routes.ts).
import type { Interception } from './interception.js';
import { LOCALHOST, type Match, PASSTHROUGH_SOURCE, type Rule } from './rule.js';

/** Of what the proxy sends to the application by an address of the pod. Istio's number. */
const OUTBOUND_MARK = 1338;

export function inboundTproxyRules(interception: Interception): Rule[] {
  const { tproxyMark: mark, inboundPort: port, inboundPorts, excludedInboundPorts, tunnelPort } = interception;
  const rules: Rule[] = interception.excludedInterfaces.map((name) => ({
    match: { inInterface: name },
    action: { kind: 'return' },
  }));
  // From the proxy with the client's address: answers to it are to come back the same way.
  rules.push(
    { match: { protocol: 'tcp', mark }, action: { kind: 'save-mark' } },
    { match: { protocol: 'tcp', mark }, action: { kind: 'return' } },
  );
  for (const source of PASSTHROUGH_SOURCE) {
    rules.push({ match: { protocol: 'tcp', inInterface: 'lo', source }, action: { kind: 'return' } });
  }
  // The application calls itself by an address of the pod.
  rules.push({ match: { protocol: 'tcp', inInterface: 'lo', notMark: OUTBOUND_MARK }, action: { kind: 'return' } });
  const take = (wanted: Match): Rule[] => [
    { match: { protocol: 'tcp', ...wanted, state: 'established' }, action: { kind: 'mark-and-accept', mark } },
    ...LOCALHOST.map(
      (notDestination): Rule => ({
        match: { protocol: 'tcp', ...wanted, notDestination },
        action: { kind: 'tproxy', port, mark },
      }),
    ),
  ];
  if (inboundPorts === 'all') {
    const ports = [...new Set([tunnelPort, ...excludedInboundPorts])];
    rules.push({ match: { protocol: 'tcp', ports }, action: { kind: 'return' } }, ...take({}));
  } else if (inboundPorts.length > 0) {
    rules.push(...take({ ports: inboundPorts }));
  }
  return rules;
}

export function outboundMarkRules({
  tproxyMark: mark,
  proxyUids,
  proxyGids,
  excludedInterfaces,
}: Interception): Rule[] {
  const toPod = (owner: Match): Rule[] =>
    LOCALHOST.map((notDestination) => ({
      match: { protocol: 'tcp', outInterface: 'lo', notDestination, ...owner },
      action: { kind: 'mark', mark: OUTBOUND_MARK },
    }));
  return [
    ...excludedInterfaces.map((name): Rule => ({ match: { outInterface: name }, action: { kind: 'return' } })),
    { match: { protocol: 'tcp', outInterface: 'lo', mark }, action: { kind: 'return' } },
    ...(proxyUids.length === 0 ? [] : toPod({ users: proxyUids })),
    ...toPod({ groups: proxyGids }),
    { match: { protocol: 'tcp', connectionMark: mark }, action: { kind: 'restore-mark' } },
  ];
}
