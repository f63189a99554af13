// Benchmark: the programs that come from the system's packages (nginx, haproxy, wrk, h2load), installed where that is possible.

import { spawnSync } from 'node:child_process';

const PACKAGE_OF: Record<string, string> = { nginx: 'nginx-light', h2load: 'nghttp2-client' };

function isInstalled(program: string): boolean {
  return spawnSync('which', [program], { stdio: 'ignore' }).status === 0;
}

/** Installs what is missing with apt-get (as root, or with password-less sudo). Returns what is still missing. */
export function ensureSystemPrograms(programs: readonly string[]): string[] {
  const missing = programs.filter((program) => !isInstalled(program));
  if (missing.length === 0 || !isInstalled('apt-get')) return missing;
  const prefix = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const apt = (...args: string[]) => {
    const [command = 'apt-get', ...rest] = [...prefix, 'apt-get', '-qq', ...args];
    spawnSync(command, rest, {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  };
  console.error(`installing ${missing.join(', ')} from the system's packages ...`);
  apt('update');
  apt('install', '-y', '--no-install-recommends', ...missing.map((program) => PACKAGE_OF[program] ?? program));
  return missing.filter((program) => !isInstalled(program));
}
