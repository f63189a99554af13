// Completion: `lateenctl completion bash|zsh|fish`, and what the shells then ask for (`lateenctl complete -- WORDS`).

import tab from '@bomb.sh/tab/commander';
import { ISTIO_KINDS, KUBERNETES_KINDS } from '@lateen/istio-config';
import { LOG_LEVELS } from '@lateen/telemetry';
import type { Command } from 'commander';
import { print } from '../output/print.js';
import { matchingPaths } from './matching-paths.js';
import { NO_NAMES, type RunningNames } from './running-names.js';
import { SHELL_SCRIPTS } from './shell-scripts.js';

/** Arguments and options by name: what they may be, as far as that depends on the mesh. */
const ARGUMENTS: Readonly<Record<string, (names: RunningNames) => readonly string[]>> = {
  kind: () => [...ISTIO_KINDS, ...KUBERNETES_KINDS, 'Pod'].map((kind) => kind.toLowerCase()),
  pod: ({ pods }) => pods,
  workload: ({ pods }) => pods,
  service: ({ services }) => services,
  namespace: ({ namespaces }) => namespaces,
  target: ({ targets }) => targets,
  process: ({ targets }) => targets,
};
const FORMAT = /\b(?:short|table|json|yaml)\b/g;

const FILE_OPTIONS: ReadonlySet<string> = new Set([
  'filename',
  'file',
  'ca',
  'cert',
  'key',
  'state-dir',
  'mesh-config',
  'config',
  'services',
]);

let names: RunningNames = NO_NAMES;
let word = '';

/** Adds `completion` and the hidden `complete`, for all commands that the program has by now. */
export function addCompletion(program: Command): void {
  const root = tab(program, { completionCommandName: 'completion' });
  for (const command of [root, ...root.commands.values()]) {
    // An answer has a line for each command.
    command.description = (commandAt(program, command.value)?.summary() ?? command.description).split('\n', 1)[0] ?? '';
    for (const [name, argument] of command.arguments) {
      const values = ARGUMENTS[name];
      if (values === undefined) continue;
      argument.handler = (complete) => {
        for (const value of values(names)) complete(value, '');
      };
    }
    for (const [name, option] of command.options) {
      const values = optionValues(name, option.description);
      if (values === undefined || option.isBoolean === true) continue;
      option.handler = (complete) => {
        for (const value of values()) complete(value, '');
      };
    }
  }
  const completion = program.commands.find((command) => command.name() === 'completion')!;
  // The library's script of PowerShell evaluates what is typed.
  completion.registeredArguments[0]!.choices(['bash', 'zsh', 'fish']);
  completion
    .action((shell: string) => {
      const script = SHELL_SCRIPTS[shell];
      if (script === undefined) root.setup(program.name(), program.name(), shell);
      else print(script);
    })
    .description('Prints a script that completes commands, options, kinds and names of the running mesh.')
    .addHelpText(
      'after',
      `
Names come from the mesh of --state-dir, LATEEN_STATE_DIR or .lateen.

Examples:
  source <(lateenctl completion bash)
  lateenctl completion zsh > "\${fpath[1]}/_lateenctl"
  lateenctl completion fish > ~/.config/fish/completions/lateenctl.fish`,
    );
}

/** @param path names of commands, with spaces */
function commandAt(program: Command, path: string): Command | undefined {
  let command: Command | undefined = program;
  for (const name of path.split(' ')) command = command?.commands.find((each) => each.name() === name);
  return command;
}

function optionValues(name: string, description: string): (() => readonly string[]) | undefined {
  if (FILE_OPTIONS.has(name)) return () => matchingPaths(word);
  if (name === 'namespace') return () => names.namespaces;
  if (name === 'from') return () => names.pods;
  if (name === 'level' || name === 'log-level') return () => LOG_LEVELS;
  // The description of -o lists the formats of its command.
  if (name === 'output') return () => description.match(FORMAT) ?? [];
  return undefined;
}

/** True where a shell asks. */
export function isCompletionRequest(args: readonly string[]): boolean {
  return args[0] === 'complete' && args[1] === '--';
}

/**
 * Readies the answer to a shell.
 *
 * @param args `complete -- WORDS`
 * @param running finds what runs, from the options among the words
 * @returns the same, with aliases written out: names are looked up by the commands' own
 */
export async function prepareCompletion(
  program: Command,
  args: readonly string[],
  running: (words: readonly string[]) => Promise<RunningNames>,
): Promise<string[]> {
  const words = args.slice(2);
  word = (words.at(-1) ?? '').replace(/^--[^=]+=/, '');
  names = await running(words);
  let command = program;
  const written = words.map((text, index) => {
    const sub = command.commands.find((each) => each.name() === text || each.aliases().includes(text));
    // The last word is still being written.
    if (sub === undefined || index === words.length - 1) return text;
    command = sub;
    return sub.name();
  });
  return ['complete', '--', ...written];
}
