// CNI installer: what the plugin needs to run on a node that has neither Node.js nor nft: the programs with their libraries.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { RedirectError } from '../commands.js';

/** Without these no rules can be written; the others only where the image has them. */
const NEEDED = ['nft', 'nsenter'] as const;
const WANTED = ['ip'] as const;

function find(program: string): string | undefined {
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .map((directory) => join(directory, program))
    .find((file) => existsSync(file));
  return path === undefined ? undefined : realpathSync(path);
}

interface Libraries {
  /** What loads the program; undefined where it needs none. */
  readonly loader: string | undefined;
  readonly files: readonly string[];
}

function librariesOf(file: string): Libraries {
  const { stdout, error } = spawnSync('ldd', [file], { encoding: 'utf8' });
  if (error !== undefined)
    throw new RedirectError('ldd is missing, which tells the libraries of programs: install libc-bin');
  const files = [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1]!);
  return { loader: files.find((name) => /\/ld[-.]/.test(name)), files };
}

/**
 * Copies Node.js, the program and what it calls into `directory`.
 *
 * @param directory where it is here
 * @param nodeDirectory where the node sees the same directory
 * @throws RedirectError naming what this image lacks
 */
export function carryPrograms(directory: string, nodeDirectory: string, program: string): void {
  for (const name of ['bin', 'lib', 'libexec']) mkdirSync(join(directory, name), { recursive: true });
  copyFileSync(program, join(directory, 'main.mjs'));
  carry('node', process.execPath);
  for (const name of NEEDED) {
    const file = find(name);
    if (file === undefined)
      throw new RedirectError(`${name} is missing in this image, which the plugin needs on the node`);
    carry(name, file);
  }
  for (const name of WANTED) {
    const file = find(name);
    if (file !== undefined) carry(name, file);
  }

  function carry(name: string, file: string): void {
    const { loader, files } = librariesOf(file);
    for (const library of files) copyFileSync(realpathSync(library), join(directory, 'lib', basename(library)));
    copyFileSync(file, join(directory, 'libexec', name));
    chmodSync(join(directory, 'libexec', name), 0o755);
    const own = `${nodeDirectory}/libexec/${name}`;
    const loaded =
      loader === undefined
        ? own
        : `${nodeDirectory}/lib/${basename(loader)} --library-path ${nodeDirectory}/lib ${own}`;
    if (loader !== undefined) chmodSync(join(directory, 'lib', basename(loader)), 0o755);
    writeFileSync(join(directory, 'bin', name), `#!/bin/sh\nexec ${loaded} "$@"\n`, { mode: 0o755 });
  }
}

/** What a runtime calls. */
export function launcher(nodeDirectory: string): string {
  return `#!/bin/sh\nPATH=${nodeDirectory}/bin:$PATH\nexport PATH\nexec ${nodeDirectory}/bin/node ${nodeDirectory}/main.mjs cni "$@"\n`;
}
