// Settings, step 2: texts to an Interception, with every problem at once, each under the name that it was given by.
import type { DnsCapture, Family, Interception } from './interception.js';
import {
  parseGroups,
  parseIds,
  parseInterfaces,
  parseMark,
  parsePort,
  parsePorts,
  parsePortsOrAll,
  parseRanges,
  parseRangesOrAll,
  parseTable,
  ValueError,
} from './parse-values.js';
import { flagName, SETTINGS, type SettingName, type SettingTexts } from './settings.js';

/** What is known beside the settings. */
export interface Surroundings {
  readonly dns: DnsCapture | undefined;
  readonly dropInvalid: boolean;
  readonly families: readonly Family[];
}

/** Settings that cannot be followed, all of them. */
export class SettingsError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

function parseMode(text: string): 'REDIRECT' | 'TPROXY' {
  if (text === 'REDIRECT' || text === 'TPROXY') return text;
  throw new ValueError(`"${text}" is not a mode; write REDIRECT or TPROXY`);
}

/** @throws SettingsError naming each setting by `nameOf` */
export function parseSettings(
  texts: SettingTexts,
  { dns, dropInvalid, families }: Surroundings,
  nameOf: (name: SettingName) => string = flagName,
): Interception {
  const problems: string[] = [];
  const textOf = (name: SettingName): string => texts[name] ?? SETTINGS[name].default;
  /** A value that is not used where there is a problem. */
  const take = <T>(name: SettingName, parse: (text: string) => T): T => {
    try {
      return parse(textOf(name));
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      problems.push(`${nameOf(name)}: ${error.message}`);
      return undefined as T;
    }
  };
  const proxyUids = take('proxyUids', parseIds);
  const proxyGids = take('proxyGids', parseIds);
  if (proxyUids?.length === 0 && proxyGids?.length === 0) {
    problems.push(
      `${nameOf('proxyUids')}: name the user (or ${nameOf('proxyGids')}: the group) that the proxy runs as, or its own traffic comes back to it`,
    );
  }
  const groups = textOf('ownerGroups').trim();
  const only = groups === '*' || groups === '' ? undefined : take('ownerGroups', parseGroups);
  const except = take('excludedOwnerGroups', parseGroups);
  const interception: Interception = {
    proxyPort: take('proxyPort', parsePort),
    inboundPort: take('inboundPort', parsePort),
    tunnelPort: take('tunnelPort', parsePort),
    proxyUids,
    // As Istio: without groups of its own, those with the users' numbers.
    proxyGids: proxyGids?.length === 0 ? proxyUids : proxyGids,
    inboundMode: take('inboundMode', parseMode),
    inboundPorts: take('inboundPorts', parsePortsOrAll),
    excludedInboundPorts: take('excludedInboundPorts', parsePorts),
    outboundRanges: take('outboundRanges', parseRangesOrAll),
    excludedOutboundRanges: take('excludedOutboundRanges', parseRanges),
    outboundPorts: take('outboundPorts', parsePorts),
    excludedOutboundPorts: take('excludedOutboundPorts', parsePorts),
    excludedInterfaces: take('excludedInterfaces', parseInterfaces),
    virtualInterfaces: take('virtualInterfaces', parseInterfaces),
    ownerGroups: only === undefined ? { kind: 'except', groups: except } : { kind: 'only', groups: only },
    dns,
    dropInvalid,
    tproxyMark: take('tproxyMark', parseMark),
    tproxyTable: take('tproxyTable', parseTable),
    families,
  };
  if (interception.proxyPort !== undefined && interception.proxyPort === interception.inboundPort) {
    problems.push(
      `${nameOf('proxyPort')} and ${nameOf('inboundPort')}: both are ${interception.proxyPort}; the proxy tells directions by them`,
    );
  }
  if (problems.length > 0) throw new SettingsError(problems);
  return interception;
}
