// Meaning of the TCP and TLS rules of a VirtualService.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { isIpAddress, wildcardNameFault } from '../declare/formats.js';
import { hostMatches } from '../host.js';
import type { VirtualServiceSpec } from '../kinds/virtual-service.js';
import { checkDestination } from './fields/destination.js';
import { checkGatewayNames, checkWeights, isSniName, isWhole, present } from './rule.js';

type Spec = Loose<VirtualServiceSpec>;
type Field = 'tcp' | 'tls';
type Rule = NonNullable<NonNullable<Spec['tcp']>[number]> | NonNullable<NonNullable<Spec['tls']>[number]>;

/** Checks where connections go, and the names that TLS rules match. */
export function checkConnectionRoutes(spec: Spec, atGatewayOnly: boolean, faults: FaultList): void {
  for (const field of ['tcp', 'tls'] as const) {
    const rules: readonly (Rule | undefined)[] | undefined = spec[field];
    for (const [index, rule] of present(rules)) checkRule(rule, field, index, faults);
    checkReach(rules, field, faults);
  }
  checkSniHosts(spec, atGatewayOnly, faults);
}

function checkRule(rule: Rule, field: Field, index: number, faults: FaultList): void {
  const path = [field, index];
  if (!('route' in rule) || rule.route?.length === 0) {
    faults.error(path, 'required', `the ${field} rule leads nowhere; add \`route\` with a destination`);
  }
  checkWeights(rule.route, [...path, 'route'], faults);
  for (const [at, { destination }] of present(rule.route)) {
    checkDestination(destination, [...path, 'route', at, 'destination'], faults);
  }
  for (const [at, match] of present<{ readonly gateways?: readonly (string | undefined)[] }>(rule.match)) {
    checkGatewayNames(match.gateways, [...path, 'match', at, 'gateways'], faults);
  }
}

/** A rule that has the matches of earlier ones, or that comes after one without matches. */
function checkReach(rules: readonly (Rule | undefined)[] | undefined, field: Field, faults: FaultList): void {
  const seen = new Map<string, number>();
  let catchAll: number | undefined;
  for (const [index, rule] of present(rules)) {
    if ('match' in rule && rule.match === undefined) continue;
    const matches = [...present<object>(rule.match)].map(([at, match]) => ({ at, text: textOf(match) }));
    const twice = matches.filter(({ text }) => text !== undefined && seen.has(text));
    if (catchAll !== undefined) {
      const message = `this rule is never reached, because rule ${catchAll} matches everything; move it up`;
      faults.warning([field, index], 'unreachable', message);
    } else if (matches.length > 0 && twice.length === matches.length) {
      faults.warning(
        [field, index],
        'unreachable',
        'this rule is never reached, because its matches are above; remove it',
      );
    } else {
      for (const { at, text = '' } of twice) {
        const message = `this match is never used, because rule ${seen.get(text)} has it too; remove it`;
        faults.warning([field, index, 'match', at], 'unreachable', message);
      }
    }
    for (const { text } of matches) if (text !== undefined && !seen.has(text)) seen.set(text, index);
    if (rule.match === undefined || rule.match.length === 0) catchAll ??= index;
  }
}

/** A match as text, in whichever order it was written; undefined where a part of it was wrong. */
function textOf(match: object): string | undefined {
  if (!isWhole(match)) return undefined;
  return JSON.stringify(Object.entries(match).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Each SNI host has to fall under one of the hosts of the VirtualService. */
function checkSniHosts({ hosts, tls }: Spec, atGatewayOnly: boolean, faults: FaultList): void {
  for (const [ruleIndex, rule] of present(tls)) {
    for (const [matchIndex, match] of present(rule.match)) {
      for (const [index, sni] of present(match.sniHosts)) {
        const path = ['tls', ruleIndex, 'match', matchIndex, 'sniHosts', index];
        const wrong = atGatewayOnly && isSniName(sni) ? undefined : wildcardNameFault(sni);
        if (isIpAddress(sni)) {
          const message = `clients send no address as a server name, so \`${sni}\` matches hardly anything; write a name`;
          faults.warning(path, 'host', message);
        } else if (wrong) {
          faults.error(path, 'host', `SNI host \`${sni}\` ${wrong}; write a DNS name or a wildcard`);
        } else if (!hosts?.some((host) => host !== undefined && hostMatches(host, sni))) {
          const message = `SNI host \`${sni}\` is not among the hosts of the VirtualService; add it to \`hosts\``;
          faults.error(path, 'host', message);
        }
      }
    }
  }
}
