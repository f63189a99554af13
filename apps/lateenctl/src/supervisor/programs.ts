// Supervisor: where the programs of the other apps are, beside this one.

import { existsSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Directory `apps/` of the installation. */
function appsDirectory(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const marker = `${sep}lateenctl${sep}`;
  const end = `${here}${sep}`.lastIndexOf(marker);
  if (end < 0) throw new Error(`cannot tell where the other programs are from ${here}; keep the folder apps/ whole`);
  return here.slice(0, end);
}

/** The bundle of an app. @throws Error saying that it is not built */
export function appProgram(app: 'citadel' | 'galley' | 'pilot' | 'redirect' | 'sidecar'): string {
  const program = join(appsDirectory(), app, 'dist', 'main.js');
  if (!existsSync(program)) throw new Error(`${program} does not exist; run \`npm run build\` first`);
  return program;
}

/** A program that the supervisor starts beside itself. */
export function ownProgram(name: 'reaper' | 'relay'): string {
  const program = join(appsDirectory(), 'lateenctl', 'dist', `${name}.js`);
  if (!existsSync(program)) throw new Error(`${program} does not exist; run \`npm run build\` first`);
  return program;
}
