// Rules, step 4 with nftables: one table for both families, which one transaction replaces, so that no packet meets half of it.

import type { Family, Interception } from './interception.js';
import { type Action, type Chain, familyOf, type Match, type Rule } from './rule.js';
import { buildChains } from './rules.js';

export const NFT_TABLE = 'inet lateen';

const HEADS: Readonly<Record<string, string>> = {
  'raw prerouting': 'type filter hook prerouting priority raw; policy accept;',
  'raw output': 'type filter hook output priority raw; policy accept;',
  'mangle prerouting': 'type filter hook prerouting priority mangle; policy accept;',
  'mangle output': 'type route hook output priority mangle; policy accept;',
  'nat prerouting': 'type nat hook prerouting priority dstnat; policy accept;',
  'nat output': 'type nat hook output priority -100; policy accept;',
};

/** Input of `nft -f`. That the table is declared before it is deleted makes the same text right where there is none yet. */
export function buildNftables(interception: Interception): string {
  const chains = buildChains(interception).map(chainText);
  return [...removeNftables(), `table ${NFT_TABLE} {`, ...chains, '}', ''].join('\n');
}

/** Lines of `nft -f` that leave nothing of ours. */
export function removeNftables(): string[] {
  return [`table ${NFT_TABLE}`, `delete table ${NFT_TABLE}`];
}

/** How many rules `nft list table` has to show. */
export function countNftables(interception: Interception): number {
  return buildChains(interception).reduce((sum, { rules }) => sum + rules.length, 0);
}

/** How many rules `nft list table` shows. */
export function countListedRules(listed: string): number {
  // What is neither a chain's or table's head nor its end.
  return listed.split('\n').filter((line) => {
    const text = line.trim();
    return text !== '' && text !== '}' && !text.endsWith('{') && !text.startsWith('type ');
  }).length;
}

function chainText({ table, hook, rules }: Chain): string {
  const lines = rules.map((rule) => `    ${ruleText(rule)}`);
  return [`  chain ${table}_${hook} {`, `    ${HEADS[`${table} ${hook}`]}`, ...lines, '  }'].join('\n');
}

function anyOf(values: readonly (number | string)[]): string {
  return values.length === 1 ? String(values[0]) : `{ ${values.join(', ')} }`;
}

function ruleText(rule: Rule): string {
  const family = familyOf(rule);
  const parts = matchTexts(rule.match, family === 6 ? 'ip6' : 'ip');
  if (rule.family !== undefined) parts.unshift(`meta nfproto ipv${rule.family}`);
  return [...parts, actionText(rule.action, family)].join(' ');
}

function matchTexts(match: Match, ip: 'ip' | 'ip6'): string[] {
  const { protocol, ports, notPorts, sourcePort, users, notUsers, groups, notGroups } = match;
  const texts: (string | undefined)[] = [
    match.inInterface && `iifname "${match.inInterface}"`,
    match.outInterface && `oifname "${match.outInterface}"`,
    match.source && `${ip} saddr ${match.source.text}`,
    match.destination && `${ip} daddr ${match.destination.text}`,
    match.notDestination && `${ip} daddr != ${match.notDestination.text}`,
    protocol !== undefined && ports === undefined && notPorts === undefined && sourcePort === undefined
      ? `meta l4proto ${protocol}`
      : undefined,
    ports && `${protocol} dport ${anyOf(ports)}`,
    notPorts && `${protocol} dport != ${anyOf(notPorts)}`,
    sourcePort === undefined ? undefined : `${protocol} sport ${sourcePort}`,
    users && `meta skuid ${anyOf(users)}`,
    notUsers && `meta skuid != ${anyOf(notUsers)}`,
    groups && `meta skgid ${anyOf(groups)}`,
    notGroups && `meta skgid != ${anyOf(notGroups)}`,
    match.mark === undefined ? undefined : `meta mark ${match.mark}`,
    match.notMark === undefined ? undefined : `meta mark != ${match.notMark}`,
    match.connectionMark === undefined ? undefined : `ct mark ${match.connectionMark}`,
    match.state && `ct state ${match.state === 'invalid' ? 'invalid' : '{ established, related }'}`,
  ];
  return texts.filter((text): text is string => text !== undefined);
}

function actionText(action: Action, family: Family | undefined): string {
  switch (action.kind) {
    case 'return':
    case 'drop':
      return action.kind;
    case 'redirect':
      return `redirect to :${action.port}`;
    case 'zone':
      return `ct zone set ${action.zone} return`;
    case 'mark':
      return `meta mark set ${action.mark}`;
    case 'mark-and-accept':
      return `meta mark set ${action.mark} accept`;
    case 'tproxy':
      return `meta mark set ${action.mark} tproxy ${family === 6 ? 'ip6' : 'ip'} to :${action.port} accept`;
    case 'save-mark':
      return 'ct mark set meta mark';
    case 'restore-mark':
      return 'meta mark set ct mark';
  }
}
