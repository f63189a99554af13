// Documented commands: every `lateenctl` line of the guides for clusters, and of the handbook, is one that this program takes:
// its commands, options, choices and arguments. Nothing is run.
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { withWaitValue } from './distribution/wait-choice.js';
import { createProgram } from './program.js';

const DOCS = new URL('../../../docs/', import.meta.url);
/** Where the commands need a cluster, so that nobody else runs them at each change. */
const PAGES = ['install.md', 'upgrade.md', 'troubleshooting.md', 'injection.md', 'analyze.md', 'cli.md'];

/** As the handbook has them, of `istioctl`. */
const HANDBOOK = [
  'istioctl install --set profile=demo',
  'istioctl version',
  'istioctl get virtualservice',
  'istioctl get destinationrule',
  'istioctl get gateway',
  'istioctl get peerauthentication',
  'istioctl proxy-config routes web-0 -n shop',
  'istioctl proxy-config clusters web-0 -n shop',
  'istioctl proxy-config listeners web-0 -n shop',
  'istioctl proxy-config secret web-0 -n shop',
  'istioctl authn tls-check web-0 shop',
];

interface DocumentedCommand {
  readonly place: string;
  readonly text: string;
}

/** Lines of blocks that begin with `lateenctl`, or `$ lateenctl`; one that ends in `\` goes on. */
function commandsOf(page: string): DocumentedCommand[] {
  const commands: DocumentedCommand[] = [];
  const lines = readFileSync(new URL(page, DOCS), 'utf8').split('\n');
  let inBlock = false;
  for (let index = 0; index < lines.length; index++) {
    if (lines[index]!.startsWith('```')) inBlock = !inBlock;
    const place = `${page}:${index + 1}`;
    let text = lines[index]!.replace(/^\$ /, '');
    if (!inBlock || !text.startsWith('lateenctl ')) continue;
    while (text.endsWith('\\')) text = `${text.slice(0, -1)}${lines[++index]!.trim()}`;
    commands.push({ place, text });
  }
  return commands;
}

/** The words of a command as a shell splits them, up to a pipe, a redirection or a comment. */
function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (const [, single, double, plain] of text.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)) {
    if (plain !== undefined && /^(?:[|>&;]|2>|#)/.test(plain)) break;
    words.push(single ?? double ?? plain!);
  }
  return words;
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

/** Reads a command line and does nothing. @throws CommanderError as the program would */
async function parse(text: string): Promise<void> {
  const program = createProgram();
  for (const command of everyCommand(program)) {
    command.configureOutput({ writeErr: () => undefined, writeOut: () => undefined });
    if (command.commands.length === 0) command.action(() => undefined);
  }
  await program.parseAsync(withWaitValue(wordsOf(text).slice(1)), { from: 'user' });
}

describe.each(PAGES)('%s', (page) => {
  it.each(commandsOf(page).map(({ place, text }) => [place, text]))('%s: %s', async (_place, text) => {
    await expect(parse(text)).resolves.toBeUndefined();
  });
});

it.each(HANDBOOK)('takes %s', async (text) => {
  await expect(parse(text)).resolves.toBeUndefined();
});

it('would notice a command, an option, a choice or an argument that is none', async () => {
  for (const text of ['nonesuch', 'version --nonesuch', 'doctor pod a -q nonesuch', 'authn tls-check', 'ca status x']) {
    await expect(parse(`lateenctl ${text}`), text).rejects.toThrow();
  }
});
