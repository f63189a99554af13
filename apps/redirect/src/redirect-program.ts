// lateen-redirect: flags to settings, then one of: print, write, validate, clean.
import { readFileSync } from 'node:fs';
import {
  annotationName,
  buildRoutes,
  flagName,
  type Interception,
  parsePort,
  parseSettings,
  SETTING_NAMES,
  SETTINGS,
  type SettingName,
  type SettingNames,
  SettingsError,
  type SettingTexts,
  settingsOfPod,
  ValueError,
} from '@lateen/interception';
import { Command, InvalidArgumentError, Option } from 'commander';
import { applyRules, planRules, removeAll } from './apply-rules.js';
import { BACKEND_CHOICES, type Backend, type BackendChoice, chooseBackend } from './backend.js';
import { Commands, RedirectError } from './commands.js';
import { presentFamilies, readDnsCapture, requireNetAdmin } from './surroundings.js';
import { NOT_INTERCEPTED, validateInterception } from './validate.js';

interface Flags {
  readonly mode: BackendChoice;
  readonly redirectDns: boolean;
  readonly captureAllDns: boolean;
  readonly resolvConf: string;
  readonly dropInvalid: boolean;
  readonly ipv6: 'auto' | 'on' | 'off';
  readonly dualStack: boolean;
  readonly fromAnnotations?: string;
  readonly networkNamespace?: string;
  readonly dryRun: boolean;
  readonly clean: boolean;
  readonly skipRuleApply: boolean;
  readonly runValidation: boolean;
  readonly validate: boolean;
  readonly iptablesProbePort: number;
  readonly probeTimeout: number;
}

function port(text: string): number {
  try {
    return parsePort(text);
  } catch (error) {
    if (error instanceof ValueError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

/** As Go writes times: 5s, 300ms, 1m. */
function duration(text: string): number {
  const [, count, unit] = /^(\d+)(ms|s|m)$/.exec(text) ?? [];
  if (count === undefined) throw new InvalidArgumentError('expected a time such as 500ms, 5s or 1m.');
  return Number(count) * { ms: 1, s: 1000, m: 60_000 }[unit as 'ms' | 's' | 'm'];
}

/** Environment says "true" or "false"; a flag alone means true. */
function isSet(name: string): boolean {
  return ['1', 't', 'true'].includes((process.env[name] ?? '').toLowerCase());
}

function redirectCommand(): Command {
  const command = new Command('lateen-redirect')
    .description(
      "Writes the rules that bring a pod's traffic to its proxy: nftables, or iptables where that is missing. Flags and variables are those of istio-iptables.",
    )
    .version(process.env.LATEEN_VERSION ?? '0.0.0-dev');
  for (const name of SETTING_NAMES) {
    const { flag, env, default: value, what }: SettingNames = SETTINGS[name];
    const option = new Option(flag, value === '' ? what : `${what} (default: ${value})`);
    command.addOption(env === undefined ? option : option.env(env));
  }
  return command
    .addOption(new Option('--mode <backend>', 'what holds the rules').choices(BACKEND_CHOICES).default('auto'))
    .option(
      '--redirect-dns',
      'bring queries to the name servers of /etc/resolv.conf to the proxy',
      isSet('ISTIO_META_DNS_CAPTURE'),
    )
    .option('--capture-all-dns', 'with --redirect-dns: queries to any name server', false)
    .option('--resolv-conf <file>', 'where the name servers are written', '/etc/resolv.conf')
    .option(
      '--drop-invalid',
      'drop packets that belong to no connection, so that none of them resets one',
      isSet('INVALID_DROP'),
    )
    .addOption(
      new Option('--ipv6 <when>', 'rules for IPv6 too; auto: where an address is there')
        .choices(['auto', 'on', 'off'])
        .default('auto'),
    )
    .option('--dual-stack', 'same as --ipv6 on', isSet('ISTIO_DUAL_STACK'))
    .option(
      '--from-annotations <file>',
      'settings of a pod, from a file of the downward API (KEY="VALUE" lines); flags win',
    )
    .option('--network-namespace <file>', 'the namespace to write to, such as /var/run/netns/NAME')
    .option('-n, --dry-run', 'print what would be written, and write nothing', false)
    .option('--clean', 'take the rules out', false)
    .option('--skip-rule-apply', 'write nothing (with --run-validation)', false)
    .option('--run-validation', 'after that, see whether a connection comes to the proxy’s port', false)
    .option('--validate', 'same as --skip-rule-apply --run-validation', false)
    .option('--iptables-probe-port <port>', 'unused port that validation dials', port, 15_002)
    .option('--probe-timeout <time>', 'how long validation tries', duration, 5000)
    .addHelpText(
      'after',
      `\nExit codes: 0 done; 1 not done, with the reason; ${NOT_INTERCEPTED} validation found no rules.`,
    );
}

/** Lines KEY="VALUE", as the downward API writes annotations. @throws RedirectError */
function readAnnotations(file: string): Record<string, string> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new RedirectError(`--from-annotations: ${(error as Error).message}`);
  }
  const annotations: Record<string, string> = {};
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const [, key, value] = /^([^=\s]+)=(".*")$/.exec(line.trim()) ?? [];
    try {
      if (key === undefined) throw new Error('expected KEY="VALUE"');
      annotations[key] = JSON.parse(value!) as string;
    } catch (error) {
      throw new RedirectError(`${file}:${index + 1}: ${(error as Error).message}`);
    }
  }
  return annotations;
}

/** undefined where annotations say that nothing is to be redirected. @throws SettingsError, RedirectError */
function readInterception(command: Command, flags: Flags, commands: Commands): Interception | undefined {
  const given = command.opts<Record<string, string | undefined>>();
  const texts: Partial<Record<SettingName, string>> = {};
  for (const name of SETTING_NAMES) {
    const attribute = new Option(SETTINGS[name].flag).attributeName();
    if (given[attribute] !== undefined) texts[name] = given[attribute];
  }
  const ofPod: SettingTexts | undefined =
    flags.fromAnnotations === undefined ? {} : settingsOfPod(readAnnotations(flags.fromAnnotations));
  if (ofPod === undefined) return undefined;
  const ipv6 = flags.dualStack ? 'on' : flags.ipv6;
  return parseSettings(
    { ...ofPod, ...texts },
    {
      dns: flags.redirectDns ? readDnsCapture(flags.captureAllDns, flags.resolvConf) : undefined,
      dropInvalid: flags.dropInvalid,
      families: ipv6 === 'auto' ? presentFamilies(commands) : ipv6 === 'on' ? [4, 6] : [4],
    },
    (name) => (texts[name] === undefined && ofPod[name] !== undefined ? annotationName(name) : flagName(name)),
  );
}

/** Printing needs neither programs nor privileges. */
function backendToPrint(commands: Commands, mode: BackendChoice): Backend {
  if (mode === 'nftables') return { kind: 'nftables' };
  try {
    return chooseBackend(commands, mode);
  } catch (error) {
    if (!(error instanceof RedirectError)) throw error;
    return mode === 'iptables' ? { kind: 'iptables', flavour: '' } : { kind: 'nftables' };
  }
}

function print(commands: Commands, interception: Interception, mode: BackendChoice): void {
  for (const { args } of buildRoutes(interception)) console.log(`# ip ${args.join(' ')}`);
  for (const { program, args, input } of planRules(commands, interception, backendToPrint(commands, mode))) {
    console.log(`# ${program} ${args.join(' ')}\n${input}`);
  }
}

function write(commands: Commands, interception: Interception, mode: BackendChoice): void {
  requireNetAdmin();
  const backend = chooseBackend(commands, mode);
  applyRules(commands, interception, backend);
  const how = backend.kind === 'nftables' ? 'nftables' : `iptables${backend.flavour}`;
  console.log(
    `redirect rules stand (${how}, IPv${interception.families.join(' and IPv')}): outbound to port ${interception.proxyPort}, inbound to port ${interception.inboundPort} (${interception.inboundMode})${interception.dns === undefined ? '' : `, names to port ${interception.dns.port}`}`,
  );
}

async function run(command: Command): Promise<number> {
  const flags = command.opts<Flags>();
  const commands = new Commands(flags.networkNamespace);
  const interception = readInterception(command, flags, commands);
  if (interception === undefined) {
    console.log('the pod’s annotations ask for no redirection (interceptionMode NONE)');
    return 0;
  }
  if (flags.dryRun) {
    print(commands, interception, flags.mode);
    return 0;
  }
  if (flags.clean) {
    requireNetAdmin();
    removeAll(commands, { ...interception, families: [4, 6] });
    console.log('redirect rules are taken out');
    return 0;
  }
  if (!flags.skipRuleApply && !flags.validate) write(commands, interception, flags.mode);
  if (!flags.runValidation && !flags.validate) return 0;
  try {
    await validateInterception({
      ...interception,
      probePort: flags.iptablesProbePort,
      timeoutMs: flags.probeTimeout,
      family: 4,
    });
    console.log('validation passed: connections come to the proxy');
    return 0;
  } catch (error) {
    if (!(error instanceof RedirectError)) throw error;
    console.error(`lateen-redirect: ${error.message}`);
    return NOT_INTERCEPTED;
  }
}

/** Runs the program to its exit code. */
export async function runRedirect(args: readonly string[]): Promise<number> {
  const command = redirectCommand();
  command.parse(args, { from: 'user' });
  try {
    return await run(command);
  } catch (error) {
    if (!(error instanceof RedirectError) && !(error instanceof SettingsError)) throw error;
    const problems = error instanceof SettingsError ? error.problems : [error.message];
    for (const problem of problems) console.error(`lateen-redirect: ${problem}`);
    return 1;
  }
}
