// Edge: runs the system's programs that hold the rules (nft, iptables, ip), in this network namespace or in another.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Something that keeps rules from being written, with what to do about it. */
export class RedirectError extends Error {}

/** Where iptables locks by a file; the root of an init container is read-only. */
const LOCK_DIRECTORIES = ['/run', '/dev/shm'];

const MOST_OUTPUT_BYTES = 64 * 1024 * 1024;

/** The system's programs, as they run in one network namespace. */
export class Commands {
  readonly #prefix: readonly string[];

  /** @param namespaceFile such as /var/run/netns/NAME or /proc/PID/ns/net; without it this process's own */
  constructor(namespaceFile?: string) {
    this.#prefix = namespaceFile === undefined ? [] : ['nsenter', `--net=${namespaceFile}`, '--'];
  }

  /** Runs a program to its end; undefined where it is not there. @throws RedirectError where the namespace cannot be entered */
  tryRun(program: string, args: readonly string[], input = ''): Outcome | undefined {
    if (this.#prefix.length > 0 && !isInstalled(program)) return undefined;
    const [first, ...others] = [...this.#prefix, program, ...args];
    const result = spawnSync(first!, others, {
      input,
      encoding: 'utf8',
      maxBuffer: MOST_OUTPUT_BYTES,
      env: environment(),
    });
    if (result.error !== undefined) {
      if ((result.error as NodeJS.ErrnoException).code !== 'ENOENT') throw result.error;
      if (this.#prefix.length === 0) return undefined;
      throw new RedirectError('nsenter is missing, which enters the pod’s network namespace: install util-linux');
    }
    const outcome = { exitCode: result.status ?? -1, stdout: result.stdout, stderr: result.stderr.trim() };
    if (outcome.exitCode !== 0 && /^nsenter: /m.test(outcome.stderr)) {
      throw new RedirectError(`${this.#prefix[1]!.slice('--net='.length)} cannot be entered: ${outcome.stderr}`);
    }
    return outcome;
  }

  /** Runs a program that has to succeed. @throws RedirectError with what it said */
  run(
    program: string,
    args: readonly string[],
    { input = '', packageName }: { input?: string; packageName: string },
  ): string {
    const outcome = this.tryRun(program, args, input);
    if (outcome === undefined) throw new RedirectError(`${program} is missing: install ${packageName}`);
    if (outcome.exitCode !== 0) throw new RedirectError(`${program} ${args.join(' ')} failed: ${outcome.stderr}`);
    return outcome.stdout;
  }
}

function environment(): NodeJS.ProcessEnv {
  const directory = LOCK_DIRECTORIES.find(isWritable) ?? LOCK_DIRECTORIES[0];
  return { XTABLES_LOCKFILE: `${directory}/xtables.lock`, ...process.env };
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function isInstalled(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
}
