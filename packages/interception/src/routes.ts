// Rules, step 5: addresses and routes that the rules need beside them, as commands of `ip`.
import type { Family, Interception } from './interception.js';

/** One call of `ip`. */
export interface IpCommand {
  readonly args: readonly string[];
  /** What it says where the thing is there already, or is gone already. */
  readonly harmless: RegExp;
}

const THERE = /File exists/;
const GONE =
  /not found|No such file|No such process|Cannot assign requested address|does not exist|FIB table does not exist/;

/** Of IPv6 only ::1 is on loopback, so the proxy's own source address there has to be added; of IPv4 all of 127.0.0.0/8 is. */
const addressArgs = (verb: 'replace' | 'del'): string[] => ['-6', 'addr', verb, '::6/128', 'dev', 'lo'];

function ruleArgs(verb: 'add' | 'del', family: Family, { tproxyMark, tproxyTable }: Interception): string[] {
  return [`-${family}`, 'rule', verb, 'fwmark', String(tproxyMark), 'lookup', String(tproxyTable)];
}

function routeArgs(verb: 'replace' | 'del', family: Family, { tproxyTable }: Interception): string[] {
  return [`-${family}`, 'route', verb, 'local', 'default', 'dev', 'lo', 'table', String(tproxyTable)];
}

export function buildRoutes(interception: Interception): IpCommand[] {
  const { families, inboundMode } = interception;
  const commands: IpCommand[] = families.includes(6) ? [{ args: addressArgs('replace'), harmless: THERE }] : [];
  if (inboundMode !== 'TPROXY') return commands;
  for (const family of families) {
    commands.push(
      { args: ruleArgs('add', family, interception), harmless: THERE },
      { args: routeArgs('replace', family, interception), harmless: THERE },
    );
  }
  return commands;
}

/** Takes out what any Interception with these marks may have left. */
export function removeRoutes(interception: Interception): IpCommand[] {
  return [
    { args: addressArgs('del'), harmless: GONE },
    ...interception.families.flatMap((family) => [
      { args: ruleArgs('del', family, interception), harmless: GONE },
      { args: routeArgs('del', family, interception), harmless: GONE },
    ]),
  ];
}
