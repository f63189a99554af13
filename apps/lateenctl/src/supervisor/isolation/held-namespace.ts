// Isolation: namespaces that one process holds open. They end with it: nothing of them is written anywhere.

import { type ChildProcess, spawn } from 'node:child_process';

/** The programs of administrators are not on every user's PATH. */
export const SYSTEM_ENVIRONMENT = {
  PATH: [process.env.PATH, '/usr/sbin', '/sbin', '/usr/bin', '/bin'].filter(Boolean).join(':'),
  LC_ALL: 'C',
};

/** What a script says when it is done; it then waits until its input closes, which the end of this process does as well. */
const READY = 'ready';
const HOLD = `echo ${READY}; exec cat`;

export class HeldNamespace {
  readonly #child: ChildProcess;
  readonly #gone: Promise<void>;
  #closing = false;

  private constructor(child: ChildProcess, onLost: () => void) {
    this.#child = child;
    this.#gone = new Promise((resolve) => {
      child.once('exit', () => {
        if (!this.#closing) onLost();
        resolve();
      });
    });
  }

  /**
   * Runs a shell script in new namespaces and holds them.
   *
   * @param command what makes the namespaces and runs a program in them, such as `unshare --net`
   * @param onLost it ended without being asked to
   * @returns also what the script has printed
   * @throws Error with what went wrong in it
   */
  static async create(
    command: readonly string[],
    script: string,
    args: readonly string[],
    onLost: () => void,
  ): Promise<{ readonly namespace: HeldNamespace; readonly output: string }> {
    const [program, ...words] = [...command, 'sh', '-ec', `${script}\n${HOLD}`, 'sh', ...args] as [string, ...string[]];
    const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'], env: SYSTEM_ENVIRONMENT, detached: true });
    child.stdin.on('error', () => {
      // It has ended, which its exit tells.
    });
    const output = await started(child);
    child.stdout.resume();
    child.stderr.resume();
    return { namespace: new HeldNamespace(child, onLost), output };
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get isHeld(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Lets go: the namespaces end with the last process in them. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#child.stdin?.end();
    await this.#gone;
  }
}

/** Resolves to what was printed before the script was done. */
function started(child: ChildProcess): Promise<string> {
  let output = '';
  let errors = '';
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => reject(new Error(errors.trim() === '' ? reason : errors.trim()));
    child.stderr!.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.stdout!.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const end = output.indexOf(`${READY}\n`);
      if (end >= 0) resolve(output.slice(0, end));
    });
    child.once('error', (error) => fail(error.message));
    // Not at its exit: what it has said last may be on its way.
    child.once('close', (code, signal) => fail(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
}
