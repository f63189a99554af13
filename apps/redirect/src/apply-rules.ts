// Flow: puts rules in place, looks whether they stand, and takes them out again.
import {
  buildIptables,
  buildNftables,
  buildRoutes,
  countIptables,
  countListedRules,
  countNftables,
  type Interception,
  type IpCommand,
  NFT_TABLE,
  removeIptables,
  removeNftables,
  removeRoutes,
} from '@lateen/interception';
import { type Backend, iptablesProgram, savedIptables } from './backend.js';
import { type Commands, RedirectError } from './commands.js';

/** What takes which rules: the text of one call of a program. */
export interface Step {
  readonly program: string;
  readonly args: readonly string[];
  readonly input: string;
}

const PACKAGES = { nftables: 'nftables', iptables: 'iptables' } as const;
const FLAVOURS = ['', '-nft', '-legacy'] as const;
const RESTORE_ARGS = ['--noflush', '--wait', '30'];

/** What writing the rules calls. */
export function planRules(commands: Commands, interception: Interception, backend: Backend): Step[] {
  if (backend.kind === 'nftables') {
    return [{ program: 'nft', args: ['-f', '-'], input: buildNftables(interception) }];
  }
  return interception.families.map((family) => ({
    program: iptablesProgram(family, backend.flavour, 'restore'),
    args: RESTORE_ARGS,
    input: buildIptables(interception, family, savedIptables(commands, family, backend.flavour) ?? ''),
  }));
}

/** Writes rules and looks whether they stand; what other ways of ours had left is taken out. @throws RedirectError */
export function applyRules(commands: Commands, interception: Interception, backend: Backend): void {
  runIp(commands, buildRoutes(interception));
  for (const { program, args, input } of planRules(commands, interception, backend)) {
    commands.run(program, args, { input, packageName: PACKAGES[backend.kind] });
  }
  removeRules(commands, backend);
  verifyRules(commands, interception, backend);
}

/** @throws RedirectError saying which rules are not there */
export function verifyRules(commands: Commands, interception: Interception, backend: Backend): void {
  const differs = (where: string, found: number, wanted: number) =>
    new RedirectError(
      `${where} holds ${found} of ${wanted} rules: something else on this node changes them, or the kernel lacks a part of them`,
    );
  if (backend.kind === 'nftables') {
    const listed = commands.tryRun('nft', ['list', 'table', ...NFT_TABLE.split(' ')]);
    const found = listed?.exitCode === 0 ? countListedRules(listed.stdout) : 0;
    const wanted = countNftables(interception);
    if (found !== wanted) throw differs(`the table "${NFT_TABLE}" of nftables`, found, wanted);
    return;
  }
  for (const family of interception.families) {
    const saved = savedIptables(commands, family, backend.flavour) ?? '';
    const wanted = countIptables(buildIptables(interception, family, ''));
    const found = countIptables(saved);
    if (found !== wanted) throw differs(iptablesProgram(family, backend.flavour, 'save'), found, wanted);
  }
}

/** Takes out our rules; those of `except` stay. @throws RedirectError */
export function removeRules(commands: Commands, except?: Backend): void {
  if (
    except?.kind !== 'nftables' &&
    commands.tryRun('nft', ['list', 'table', ...NFT_TABLE.split(' ')])?.exitCode === 0
  ) {
    commands.run('nft', ['-f', '-'], { input: `${removeNftables().join('\n')}\n`, packageName: PACKAGES.nftables });
  }
  // The default is one of the two others, so it is not looked at beside them.
  const kept = except?.kind === 'iptables' ? sameFlavours(commands, except.flavour) : [];
  for (const flavour of FLAVOURS.filter((one) => !kept.includes(one))) {
    for (const family of [4, 6] as const) {
      const input = removeIptables(savedIptables(commands, family, flavour) ?? '');
      if (input === '') continue;
      commands.run(iptablesProgram(family, flavour, 'restore'), RESTORE_ARGS, {
        input,
        packageName: PACKAGES.iptables,
      });
    }
  }
}

/** The flavour itself and, since the default is one of the two, the one that it is the same as. */
function sameFlavours(commands: Commands, flavour: string): string[] {
  const version = (one: string) => commands.tryRun(iptablesProgram(4, one, 'restore'), ['--version'])?.stdout.trim();
  const kindOf = (text: string | undefined) =>
    text === undefined ? undefined : /nf_tables/.test(text) ? 'nft' : 'legacy';
  const own = kindOf(version(flavour));
  return FLAVOURS.filter((one) => one === flavour || kindOf(version(one)) === own);
}

/** Takes out rules, addresses and routes. @throws RedirectError */
export function removeAll(commands: Commands, interception: Interception): void {
  removeRules(commands);
  // Without `ip` nothing of it was put there either.
  if (commands.tryRun('ip', ['-V']) !== undefined) runIp(commands, removeRoutes(interception));
}

function runIp(commands: Commands, routes: readonly IpCommand[]): void {
  for (const { args, harmless } of routes) {
    const outcome = commands.tryRun('ip', args);
    if (outcome === undefined) {
      throw new RedirectError(`ip is missing, which has to do "ip ${args.join(' ')}": install the package iproute2`);
    }
    if (outcome.exitCode !== 0 && !harmless.test(outcome.stderr)) {
      throw new RedirectError(`ip ${args.join(' ')} failed: ${outcome.stderr}`);
    }
  }
}
