// Task pages: reads a page of docs/tasks into the steps that a reader would take: files to save, commands to run, what they print.

import { hasVaryingNumber, parseOutputPattern } from './output-pattern.js';

/** A `yaml NAME` block: the reader saves it under this name. */
export interface FileStep {
  readonly kind: 'file';
  readonly line: number;
  readonly name: string;
  readonly content: string;
}

/** One command of a `console` block. */
export interface CommandStep {
  readonly kind: 'command';
  readonly line: number;
  readonly command: string;
  /** Goes on until the page's end. */
  readonly background: boolean;
  /** With which it ends; 0 unless the page says otherwise. */
  readonly exitCode: number;
  /** What it prints; undefined where the page does not say. */
  readonly output: ShownOutput | undefined;
}

export interface ShownOutput {
  readonly lines: readonly string[];
  readonly numbersVaryBy: number;
}

export type Step = FileStep | CommandStep;

export interface TaskPage {
  readonly title: string;
  readonly steps: readonly Step[];
  /** Ports that the page has chosen for programs of its own; another may stand for each. */
  readonly ownPorts: readonly string[];
}

/** A page that does not keep to the rules of test/tasks/README.md. */
export class PageError extends Error {}

interface Block {
  readonly line: number;
  readonly info: readonly string[];
  readonly lines: readonly string[];
  readonly numbersVaryBy: number | undefined;
  readonly exitCode: number | undefined;
}

const PROMPT = '$ ';
const OWN_PORT = /^<!-- free port: (\d+) -->$/;
const TOLERANCE = /^<!-- numbers vary by (\d+) -->$/;
const EXIT_CODE = /^<!-- exit code: (\d+) -->$/;
const DIRECTIVE = /^<!-- (?:numbers|free|exit)\b/;
/** Shown and not run. */
const PROSE_LANGUAGES = new Set(['text', 'json']);

/** @throws PageError */
export function parseTaskPage(text: string): TaskPage {
  const title = /^# (.+)$/m.exec(text)?.[1];
  if (title === undefined) throw new PageError('has no title (a line "# …")');
  const { blocks, ownPorts, prose } = readBlocks(text);
  const steps = blocks.flatMap((block): Step[] => {
    const [language = '', ...rest] = block.info;
    if (language === 'yaml') return [fileStep(block, rest, prose)];
    if (language === 'console' && rest.length === 0) return commandSteps(block);
    if (PROSE_LANGUAGES.has(language) && rest.length === 0) return [];
    throw new PageError(
      `line ${block.line}: a block is "yaml NAME", "console", "text" or "json", not "${block.info.join(' ')}"`,
    );
  });
  requireUse(steps);
  return { title, steps, ownPorts };
}

function readBlocks(text: string): { blocks: Block[]; ownPorts: string[]; prose: string } {
  const blocks: Block[] = [];
  const ownPorts: string[] = [];
  const prose: string[] = [];
  let open: (Block & { lines: string[] }) | undefined;
  let numbersVaryBy: number | undefined;
  let exitCode: number | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    if (line.startsWith('```')) {
      if (open === undefined) {
        open = { line: index + 1, info: line.slice(3).trim().split(/\s+/), lines: [], numbersVaryBy, exitCode };
        numbersVaryBy = undefined;
        exitCode = undefined;
      } else {
        blocks.push(open);
        open = undefined;
      }
    } else if (open !== undefined) {
      open.lines.push(line);
    } else {
      const tolerance = TOLERANCE.exec(line)?.[1];
      const port = OWN_PORT.exec(line)?.[1];
      const code = EXIT_CODE.exec(line)?.[1];
      if (code !== undefined) exitCode = Number(code);
      else if (tolerance !== undefined) numbersVaryBy = Number(tolerance);
      else if (port !== undefined) ownPorts.push(port);
      else if (DIRECTIVE.test(line)) throw new PageError(`line ${index + 1}: unknown comment ${line}`);
      prose.push(line);
    }
  }
  if (open !== undefined) throw new PageError(`line ${open.line}: the block has no end`);
  return { blocks, ownPorts, prose: prose.join('\n') };
}

function fileStep({ line, lines }: Block, rest: readonly string[], prose: string): FileStep {
  const [name] = rest;
  if (name === undefined || rest.length > 1 || !/^[a-z0-9-]+\.yaml$/.test(name)) {
    throw new PageError(`line ${line}: a yaml block names the file that it is saved as: "yaml canary.yaml"`);
  }
  if (!prose.includes(`\`${name}\``))
    throw new PageError(`line ${line}: the text does not tell readers of \`${name}\``);
  return { kind: 'file', line, name, content: `${lines.join('\n')}\n` };
}

function commandSteps(block: Block): CommandStep[] {
  const steps: CommandStep[] = [];
  let index = 0;
  while (index < block.lines.length) {
    const line = block.line + 1 + index;
    const first = block.lines[index++] ?? '';
    if (!first.startsWith(PROMPT)) throw new PageError(`line ${line}: output before the first command ("$ …")`);
    const command = [first.slice(PROMPT.length)];
    while (command.at(-1)?.endsWith('\\') === true && index < block.lines.length)
      command.push(block.lines[index++] ?? '');
    const printed: string[] = [];
    while (index < block.lines.length && !block.lines[index]?.startsWith(PROMPT))
      printed.push(block.lines[index++] ?? '');
    const text = command.join('\n');
    const output = printed.length === 0 ? undefined : { lines: printed, numbersVaryBy: block.numbersVaryBy ?? 0 };
    const { exitCode = 0 } = block;
    steps.push({ kind: 'command', line, command: text, background: text.endsWith(' &'), exitCode, output });
  }
  if (steps.length === 0) throw new PageError(`line ${block.line}: a console block without a command`);
  if (block.exitCode !== undefined && steps.length !== 1) {
    throw new PageError(`line ${block.line}: an exit code is that of one command; give it a block of its own`);
  }
  const varies = ({ output }: CommandStep) =>
    output !== undefined && hasVaryingNumber(parseOutputPattern(output.lines, output.numbersVaryBy));
  if (block.numbersVaryBy !== undefined && !steps.some(varies)) {
    throw new PageError(`line ${block.line}: numbers vary, but no line of the output begins with one`);
  }
  return steps;
}

/** A file that nobody applies proves nothing. */
function requireUse(steps: readonly Step[]): void {
  for (const step of steps) {
    if (step.kind !== 'file') continue;
    const applied = steps.some(
      (each) => each.kind === 'command' && each.line > step.line && each.command.includes(step.name),
    );
    if (!applied) throw new PageError(`line ${step.line}: no command after it uses ${step.name}`);
  }
}
