// Part of the build step: starts a program once and lets it end by itself, so that what every start needs is compiled.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** The default, given so that held-optimizer.ts does not set another: V8 takes a code cache only under the flags of its making. */
export const NODE_FLAGS = ['--opt'];

/** @throws if the program fails */
export async function train([node, ...command]) {
  const child = spawn(node, [...command, '--version'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${command.at(-1)} --version exits ${code}`);
}
