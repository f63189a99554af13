// Rules, step 4 with iptables: input of iptables-restore and ip6tables-restore, which replaces each table at once.
import type { Family, Interception } from './interception.js';
import { type Action, type Chain, familyOf, type Match, type Rule } from './rule.js';
import { buildChains } from './rules.js';

const TABLES = ['raw', 'mangle', 'nat'] as const;
/** All our chains of iptables begin so; jumps to them are how others' chains hold ours. */
const PREFIX = 'LATEEN_';
/** As many as the module multiport takes in one rule. */
const MOST_PORTS = 15;

const chainName = ({ hook }: Chain): string => `${PREFIX}${hook.toUpperCase()}`;

/**
 * Input of `iptables-restore --noflush` for one family.
 *
 * @param saved what `iptables-save` says now: what is there of ours is taken out in the same step, and nothing of others
 */
export function buildIptables(interception: Interception, family: Family, saved: string): string {
  const chains = buildChains(interception);
  const lines = TABLES.flatMap((table) => {
    const ours = chains.filter((chain) => chain.table === table);
    const names = ours.map(chainName);
    const rules = ours.flatMap((chain) => [
      `-A ${chain.hook.toUpperCase()} -j ${chainName(chain)}`,
      ...chain.rules.flatMap((rule) => ruleTexts(rule, family).map((text) => `-A ${chainName(chain)} ${text}`)),
    ]);
    const { jumps, chains: old } = savedInTable(saved, table);
    const declared = [...new Set([...names, ...old])];
    if (declared.length === 0) return [];
    return [
      `*${table}`,
      // A declared chain is emptied.
      ...declared.map((name) => `:${name} - [0:0]`),
      ...jumps.map((jump) => jump.replace(/^-A/, '-D')),
      ...rules,
      ...old.filter((name) => !names.includes(name)).map((name) => `-X ${name}`),
      'COMMIT',
    ];
  });
  return `${lines.join('\n')}\n`;
}

/** Input of `iptables-restore --noflush` that takes out what is ours; empty where there is nothing. */
export function removeIptables(saved: string): string {
  const lines = TABLES.flatMap((table) => {
    const { jumps, chains } = savedInTable(saved, table);
    if (chains.length === 0) return [];
    return [
      `*${table}`,
      ...chains.map((name) => `:${name} - [0:0]`),
      ...jumps.map((jump) => jump.replace(/^-A/, '-D')),
      ...chains.map((name) => `-X ${name}`),
      'COMMIT',
    ];
  });
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** Whether `iptables-save` shows anything of ours. */
export function hasIptables(saved: string): boolean {
  return TABLES.some((table) => savedInTable(saved, table).chains.length > 0);
}

/** How many of our rules, jumps to our chains included, `iptables-save` shows; or a restore's input holds. */
export function countIptables(text: string): number {
  return text.split('\n').filter((line) => line.startsWith('-A ') && line.includes(PREFIX)).length;
}

function savedInTable(saved: string, table: string): { jumps: string[]; chains: string[] } {
  const lines = saved.split('\n');
  const start = lines.indexOf(`*${table}`);
  if (start < 0) return { jumps: [], chains: [] };
  const end = lines.indexOf('COMMIT', start);
  const inTable = lines.slice(start, end < 0 ? undefined : end);
  return {
    jumps: inTable.filter(
      (line) => line.startsWith('-A ') && line.includes(`-j ${PREFIX}`) && !line.startsWith(`-A ${PREFIX}`),
    ),
    chains: inTable.filter((line) => line.startsWith(`:${PREFIX}`)).map((line) => line.slice(1).split(' ')[0]!),
  };
}

/** One rule may be several here: lists of owners and long lists of ports are written out. */
function ruleTexts(rule: Rule, family: Family): string[] {
  const own = familyOf(rule);
  if (own !== undefined && own !== family) return [];
  const { match, action } = rule;
  const variants = ports(match).flatMap((port) =>
    owners(match).map((owner) => [...address(match), ...port, ...owner, ...rest(match)]),
  );
  return variants.flatMap((parts) => actionTexts(action).map((text) => [...parts, text].join(' ')));
}

function address({ inInterface, outInterface, source, destination, notDestination }: Match): string[] {
  return [
    ...(inInterface === undefined ? [] : [`-i ${inInterface}`]),
    ...(outInterface === undefined ? [] : [`-o ${outInterface}`]),
    ...(source === undefined ? [] : [`-s ${source.text}`]),
    ...(destination === undefined ? [] : [`-d ${destination.text}`]),
    ...(notDestination === undefined ? [] : [`! -d ${notDestination.text}`]),
  ];
}

function ports({ protocol, ports: wanted, notPorts, sourcePort }: Match): string[][] {
  const base = [
    ...(protocol === undefined ? [] : [`-p ${protocol}`]),
    ...(sourcePort === undefined ? [] : [`--sport ${sourcePort}`]),
    ...(notPorts === undefined
      ? []
      : [notPorts.length === 1 ? `! --dport ${notPorts[0]}` : `-m multiport ! --dports ${notPorts.join(',')}`]),
  ];
  if (wanted === undefined) return [base];
  if (wanted.length === 1) return [[...base, `--dport ${wanted[0]}`]];
  const variants: string[][] = [];
  for (let at = 0; at < wanted.length; at += MOST_PORTS) {
    variants.push([...base, `-m multiport --dports ${wanted.slice(at, at + MOST_PORTS).join(',')}`]);
  }
  return variants;
}

function owners({ users, notUsers, groups, notGroups }: Match): string[][] {
  const none = [
    ...(notUsers ?? []).map((user) => `-m owner ! --uid-owner ${user}`),
    ...(notGroups ?? []).map((group) => `-m owner ! --gid-owner ${group}`),
  ];
  const any = [
    ...(users ?? []).map((user) => `-m owner --uid-owner ${user}`),
    ...(groups ?? []).map((group) => `-m owner --gid-owner ${group}`),
  ];
  return any.length === 0 ? [none] : any.map((one) => [...none, one]);
}

function rest({ mark, notMark, connectionMark, state }: Match): string[] {
  return [
    ...(mark === undefined ? [] : [`-m mark --mark ${mark}`]),
    ...(notMark === undefined ? [] : [`-m mark ! --mark ${notMark}`]),
    ...(connectionMark === undefined ? [] : [`-m connmark --mark ${connectionMark}`]),
    ...(state === undefined
      ? []
      : [`-m conntrack --ctstate ${state === 'invalid' ? 'INVALID' : 'RELATED,ESTABLISHED'}`]),
  ];
}

function actionTexts(action: Action): string[] {
  switch (action.kind) {
    case 'return':
      return ['-j RETURN'];
    case 'drop':
      return ['-j DROP'];
    case 'redirect':
      return [`-j REDIRECT --to-ports ${action.port}`];
    case 'zone':
      // A second zone would not count: the first one that a packet gets stays.
      return [`-j CT --zone ${action.zone}`];
    case 'mark':
      return [`-j MARK --set-mark ${action.mark}`];
    case 'mark-and-accept':
      return [`-j MARK --set-mark ${action.mark}`, '-j ACCEPT'];
    case 'tproxy':
      return [`-j TPROXY --on-port ${action.port} --tproxy-mark ${action.mark}/0xffffffff`];
    case 'save-mark':
      return ['-j CONNMARK --save-mark'];
    case 'restore-mark':
      return ['-j CONNMARK --restore-mark'];
  }
}
