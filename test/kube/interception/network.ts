// Interception tests: two network namespaces, a pod and the world outside of it, which end with the test process.
//
// The pod's default route goes outside, so that virtual addresses have one; outside answers for its own addresses only.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { REPOSITORY } from '../../harness/repository.js';
import type { Answer, Order } from './protocol.js';

export const POD = { 4: '10.5.0.2', 6: 'fd05::2' } as const;
export const OUTSIDE = { 4: '10.5.0.1', 6: 'fd05::1' } as const;
/** A virtual address: nobody has it. */
export const VIP = { 4: '10.96.0.10', 6: 'fd96::10' } as const;
/** Other addresses of the world outside, in ranges that settings name. */
export const EXCLUDED = { 4: '10.9.0.1', 6: 'fd09::1' } as const;

export interface Agent {
  ask(order: Order): Promise<Answer>;
}

export interface Run {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One network namespace, held open by a process. */
export class Namespace {
  readonly #holder: ChildProcessWithoutNullStreams;
  readonly #agents: ChildProcessWithoutNullStreams[] = [];
  readonly #proxies: ChildProcessWithoutNullStreams[] = [];

  private constructor(holder: ChildProcessWithoutNullStreams) {
    this.#holder = holder;
  }

  static async create(): Promise<Namespace> {
    const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; read end'], { stdio: 'pipe' });
    await once(holder.stdout, 'data');
    return new Namespace(holder);
  }

  get pid(): number {
    return this.#holder.pid!;
  }

  /** As `nsenter --net=` takes it. */
  get file(): string {
    return `/proc/${this.pid}/ns/net`;
  }

  /** Runs a program to its end. */
  tryRun(args: readonly string[], input = ''): Run {
    const result = spawnSync('nsenter', [`--net=${this.file}`, '--', ...args], { encoding: 'utf8', input });
    return { exitCode: result.status ?? -1, stdout: result.stdout, stderr: result.stderr };
  }

  /** Runs a program that has to succeed. */
  run(command: string): string {
    const { exitCode, stdout, stderr } = this.tryRun(['sh', '-ec', command]);
    if (exitCode !== 0) throw new Error(`${command}: ${stderr}`);
    return stdout;
  }

  /** Starts a program of the proxy's user, which ends with this namespace. @returns what it has printed so far */
  startProxy(args: readonly string[]): () => string {
    const user = ['--reuid=1337', '--regid=1337', '--clear-groups', '--no-new-privs'];
    const child = spawn('nsenter', [`--net=${this.file}`, '--', 'setpriv', ...user, process.execPath, ...args]);
    this.#proxies.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    return () => output;
  }

  /** Starts an agent as a user and group; `capabilities` as setpriv names them. */
  startAgent(user: number, group = user, capabilities: readonly string[] = []): Agent {
    const raised = capabilities.length === 0 ? [] : [`--inh-caps=+${capabilities}`, `--ambient-caps=+${capabilities}`];
    const child = spawn('nsenter', [
      ...[`--net=${this.file}`, '--', 'setpriv', `--reuid=${user}`, `--regid=${group}`, '--clear-groups', ...raised],
      ...[process.execPath, `${REPOSITORY}test/dist/kube/interception/agent.js`],
    ]);
    this.#agents.push(child);
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    const waiting = new Map<number, (answer: Answer) => void>();
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { id, ...answer } = JSON.parse(line) as Answer & { id: number };
      waiting.get(id)?.(answer);
      waiting.delete(id);
    });
    child.once('close', () => {
      for (const resolve of waiting.values()) resolve({ error: `the agent ended: ${errors}` });
    });
    let last = 0;
    return {
      ask(order) {
        const id = ++last;
        return new Promise((resolve) => {
          waiting.set(id, resolve);
          child.stdin.write(`${JSON.stringify({ id, ...order })}\n`);
        });
      },
    };
  }

  async close(): Promise<void> {
    for (const child of this.#proxies.filter(({ exitCode }) => exitCode === null)) {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    }
    for (const child of [...this.#agents, this.#holder]) {
      if (child.exitCode !== null) continue;
      const ended = once(child, 'exit');
      child.stdin.end('\n');
      await ended;
    }
  }
}

/** A pod and the world outside, joined by a pair of interfaces, both eth0. */
export async function createNetwork(): Promise<{ pod: Namespace; outside: Namespace; close(): Promise<void> }> {
  const pod = await Namespace.create();
  const outside = await Namespace.create();
  pod.run(`ip link add eth0 type veth peer name eth0 netns ${outside.pid}`);
  for (const [namespace, own] of [
    [pod, POD],
    [outside, OUTSIDE],
  ] as const) {
    namespace.run(
      `ip link set lo up; ip addr add ${own[4]}/24 dev eth0; ip addr add ${own[6]}/64 dev eth0 nodad; ip link set eth0 up`,
    );
  }
  outside.run(`ip addr add ${EXCLUDED[4]}/32 dev eth0; ip addr add ${EXCLUDED[6]}/128 dev eth0 nodad`);
  pod.run(`ip route add default via ${OUTSIDE[4]}; ip -6 route add default via ${OUTSIDE[6]}`);
  return {
    pod,
    outside,
    async close() {
      await pod.close();
      await outside.close();
    },
  };
}

/** Says loudly why there are no namespaces to be had. @throws Error in CI */
export function canMakeNamespaces(): boolean {
  const lacking = [
    ...(process.getuid?.() === 0 ? [] : ['root']),
    ...['nft', 'iptables', 'ip', 'ss', 'unshare', 'nsenter', 'setpriv'].filter(
      (name) => spawnSync(name, ['--version']).error,
    ),
  ];
  if (lacking.length === 0 && spawnSync('unshare', ['--net', 'true']).status !== 0)
    lacking.push('leave to make namespaces');
  if (lacking.length === 0) return true;
  const reason = `interception is not tested: it needs ${lacking.join(', ')}`;
  if (process.env.CI === 'true') throw new Error(reason);
  console.error(`\nSKIPPED: ${reason}\n`);
  return false;
}
