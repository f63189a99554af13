// Flow: which of nftables and iptables holds the rules here.
import { hasIptables } from '@lateen/interception';
import { type Commands, RedirectError } from './commands.js';

export const BACKEND_CHOICES = ['auto', 'nftables', 'iptables'] as const;
export type BackendChoice = (typeof BACKEND_CHOICES)[number];

export type Backend =
  | { readonly kind: 'nftables' }
  /** Programs are named `iptables-FLAVOUR-restore` and so on. */
  | { readonly kind: 'iptables'; readonly flavour: '' | '-nft' | '-legacy' };

/** The default first; which of the two it is, a distribution decides. */
const FLAVOURS = ['', '-nft', '-legacy'] as const;

export const iptablesProgram = (family: 4 | 6, flavour: string, verb: 'save' | 'restore'): string =>
  `${family === 4 ? 'iptables' : 'ip6tables'}${flavour}-${verb}`;

/** What iptables-save says; undefined where the program is not there or its kernel part is not. */
export function savedIptables(commands: Commands, family: 4 | 6, flavour: string): string | undefined {
  const outcome = commands.tryRun(iptablesProgram(family, flavour, 'save'), []);
  return outcome?.exitCode === 0 ? outcome.stdout : undefined;
}

/** Redirects of both families in one table: old kernels have tables, but not these. The kernel only looks at it. */
const TRIAL = `table inet lateen_trial {
  chain output { type nat hook output priority -100; meta l4proto tcp redirect to :1; }
}
`;

function hasNftables(commands: Commands): { readonly works: boolean; readonly reason: string } {
  const outcome = commands.tryRun('nft', ['--check', '-f', '-'], TRIAL);
  if (outcome === undefined) return { works: false, reason: 'nft is not installed' };
  return { works: outcome.exitCode === 0, reason: outcome.stderr.split('\n')[0]! };
}

/** The flavours that work here. Those in which rules of ours stand come first, then those with rules of others. */
export function workingFlavours(commands: Commands): ('' | '-nft' | '-legacy')[] {
  const found = FLAVOURS.flatMap((flavour) => {
    const saved = savedIptables(commands, 4, flavour);
    return saved === undefined ? [] : [{ flavour, rank: hasIptables(saved) ? 0 : /^-A /m.test(saved) ? 1 : 2 }];
  });
  return found.sort((a, b) => a.rank - b.rank).map(({ flavour }) => flavour);
}

/** @throws RedirectError saying what to install */
export function chooseBackend(commands: Commands, choice: BackendChoice): Backend {
  const nftables = choice === 'iptables' ? { works: false, reason: 'not asked for' } : hasNftables(commands);
  if (nftables.works) return { kind: 'nftables' };
  if (choice === 'nftables') {
    throw new RedirectError(
      `nftables cannot be used: ${nftables.reason}; install the package nftables, load the kernel module nf_tables, or use --mode iptables`,
    );
  }
  const flavour = workingFlavours(commands)[0];
  if (flavour !== undefined) return { kind: 'iptables', flavour };
  const neither = choice === 'auto' ? `neither nftables (${nftables.reason}) nor iptables` : 'iptables cannot';
  throw new RedirectError(
    `${neither} can be used here: install the package nftables (or iptables), and load the kernel modules nf_tables and nf_nat (or ip_tables, iptable_nat) on the node`,
  );
}
