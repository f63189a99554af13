// Tests of the command line as a whole: help, completion.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { prepareCompletion } from './completion/completion.js';
import { createProgram, placeOf } from './program.js';

function leaves(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
}

/** `lateenctl proxy-config routes`. */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

/** Everything that `--help` prints. */
function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}

describe('help', () => {
  const commands = leaves(createProgram()).filter((command) => command.name() !== 'complete');

  it.each(commands.map((command) => [pathOf(command), command] as const))(
    '%s has examples and fits',
    (path, command) => {
      const help = helpOf(command);
      const [, examples = ''] = help.split('\nExamples:\n');
      const names = [path, ...command.aliases().map((alias) => path.replace(/\S+$/, alias))];
      const short = path.replace('proxy-config', 'pc').replace('proxy-status', 'ps');
      expect([...names, short].some((name) => examples.includes(name))).toBe(true);
      expect(help.split('\n').filter((line) => line.length > 125)).toEqual([]);
    },
  );
});

describe('completion', () => {
  const names = {
    pods: ['reviews-v1-0', 'web-0'],
    services: ['reviews'],
    namespaces: ['default', 'shop'],
    targets: ['pilot', 'default/web-0/app'],
  };
  /** What a shell is told for words of which the last is being written, without descriptions. */
  async function complete(...words: readonly string[]): Promise<string[]> {
    const program = createProgram();
    const lines: string[] = [];
    const log = vi.spyOn(console, 'log').mockImplementation((line: string) => void lines.push(line));
    const args = await prepareCompletion(program, ['complete', '--', ...words], async () => names);
    await program.parseAsync(args, { from: 'user' });
    log.mockRestore();
    return lines.filter((line) => !line.startsWith(':')).map((line) => line.split('\t')[0]!);
  }

  it.each([
    [['proxy-c'], ['proxy-config']],
    [['pc', 'end'], ['endpoints']],
    [['pc', 'r', 'rev'], ['reviews-v1-0']],
    [['describe', 'svc', ''], ['reviews']],
    [['explain', '--from', ''], names.pods],
    [
      ['describe', ''],
      ['pod', 'service', 'help'],
    ],
    [['get', 'sid'], ['sidecar']],
    [['get', 'vs', '-n', 's'], ['shop']],
    [
      ['get', 'vs', '-o', ''],
      ['table', 'yaml', 'json'],
    ],
    [['local', 'stop', 'p'], ['pilot']],
    [['proxy-config', 'log', 'web-0', '--level', 'de'], ['debug']],
    [['apply', '--dry'], ['--dry-run']],
    [['--gal'], ['--galley']],
  ])('%j', async (words, expected) => {
    expect(await complete(...words)).toEqual(expected);
  });

  const directory = mkdtempSync(join(tmpdir(), 'lateen-complete-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  it('offers files where an option takes one', async () => {
    mkdirSync(join(directory, 'routes'));
    writeFileSync(join(directory, 'rules.yaml'), '');
    expect(await complete('apply', '-f', join(directory, 'r'))).toEqual([
      join(directory, 'routes/'),
      join(directory, 'rules.yaml'),
    ]);
    expect(await complete('apply', '-f', join(directory, 'none/x'))).toEqual([]);
  });

  it('finds the mesh that half a command line means', () => {
    const { stateDir, pilot } = placeOf(['--state-dir', 'x', 'get', 'vs', '-o', '']).opts();
    expect([stateDir, pilot]).toEqual(['x', undefined]);
    expect(placeOf(['get', 'vs', '--pilot=p', '--pil']).opts()).toMatchObject({ pilot: 'p' });
  });
});
