// End-to-end tests: a local mesh of its own for each test, driven by lateenctl, with a small echo application.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { REPOSITORY } from '../harness/repository.js';
import { type CommandResult, runCommand } from '../harness/run-command.js';

const LATEENCTL = join(REPOSITORY, 'bin/lateenctl');

/** Answers with its pod's name and the text of GREETING; fails its probe while a file `broken` lies beside it. */
const ECHO_PROGRAM = `
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
const { HOST, PORT, POD_NAME, GREETING } = process.env;
const server = createServer((request, response) => {
  if (request.url === '/ready') return response.writeHead(existsSync('broken') ? 503 : 200).end();
  if (request.url === '/crash') process.exit(7);
  response.end(JSON.stringify({ pod: POD_NAME, greeting: GREETING }));
});
server.keepAliveTimeout = 600_000;
server.listen(Number(PORT), HOST);
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`;

export interface ProcessSeen {
  readonly name: string;
  readonly kind: string;
  readonly pid: number | null;
  readonly state: string;
  readonly ready: boolean;
  readonly restarts: number;
  readonly address: string;
}

export interface PodSeen {
  readonly name: string;
  readonly namespace: string;
  readonly deployment: string;
  readonly address: string;
  readonly ready: boolean;
  readonly status: string;
  readonly serviceAddresses: Readonly<Record<string, string>>;
}

export interface StatusSeen {
  readonly ready: boolean;
  readonly block: string;
  readonly ingress: { readonly port: number; readonly httpsPort: number };
  readonly processes: readonly ProcessSeen[];
  readonly pods: readonly PodSeen[];
}

/** The documents of the echo application, with its own ServiceAccount. */
export function echoDocuments(options: { replicas?: number; greeting?: string } = {}): string {
  const { replicas = 1, greeting = 'hello' } = options;
  return `apiVersion: v1
kind: ServiceAccount
metadata: {name: echo}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  selector: {app: echo}
  ports: [{port: 80, name: http, targetPort: http-echo}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: echo}}
  template:
    metadata:
      labels: {app: echo, version: v1}
      annotations: {lateen.io/local-command: '["node", "echo.mjs"]'}
    spec:
      serviceAccountName: echo
      containers:
      - name: echo
        image: echo:1
        env: [{name: GREETING, value: ${greeting}}]
        ports: [{containerPort: 8080, name: http-echo}]
        readinessProbe: {httpGet: {path: /ready, port: http-echo}, periodSeconds: 1, failureThreshold: 1}
`;
}

export class LocalMesh {
  readonly directory = mkdtempSync(join(tmpdir(), 'lateen-e2e-'));
  readonly stateDir = join(this.directory, 'state');
  readonly appDirectory = this.directory;

  constructor() {
    writeFileSync(join(this.directory, 'echo.mjs'), ECHO_PROGRAM);
    this.write('echo.yaml', echoDocuments());
  }

  /** Writes a file beside the application and returns its path. */
  write(name: string, content: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, content);
    return path;
  }

  run(...args: readonly string[]): Promise<CommandResult> {
    return this.runWith({}, ...args);
  }

  /** @param env variables to set, or with undefined to take away */
  runWith(env: Readonly<Record<string, string | undefined>>, ...args: readonly string[]): Promise<CommandResult> {
    return this.spawn(env, process.execPath, [LATEENCTL, ...args]);
  }

  /** What bash offers for a command line whose last word is being written. */
  async bashCompletes(...words: readonly string[]): Promise<readonly string[]> {
    const script = `
      lateenctl() { '${process.execPath}' '${LATEENCTL}' "$@"; }
      source <(lateenctl completion bash)
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*"
      COMP_POINT=\${#COMP_LINE}
      registered=$(complete -p lateenctl)
      registered=\${registered#*-F }
      "\${registered%% *}"
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { exitCode, stdout, stderr } = await this.spawn({}, 'bash', ['-c', script, 'bash', ...words]);
    if (exitCode !== 0) throw new Error(`bash exits ${exitCode}: ${stderr}`);
    return stdout.trim().split('\n');
  }

  private spawn(
    env: Readonly<Record<string, string | undefined>>,
    program: string,
    args: readonly string[],
  ): Promise<CommandResult> {
    const variables = { LATEEN_STATE_DIR: this.stateDir, NO_COLOR: '1', ...env };
    return runCommand(program, args, { directory: this.directory, env: variables });
  }

  /** Runs lateenctl, which has to succeed. */
  async ok(...args: readonly string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(...args);
    if (exitCode !== 0) throw new Error(`lateenctl ${args.join(' ')} exits ${exitCode}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Starts the mesh, by default with the echo application. */
  async up(...args: readonly string[]): Promise<void> {
    await this.ok('local', 'up', '--ingress-port', '0', ...(args.length === 0 ? ['-f', 'echo.yaml'] : args));
  }

  async status(): Promise<StatusSeen> {
    return JSON.parse(await this.ok('local', 'status', '-o', 'json')) as StatusSeen;
  }

  async pods(deployment = 'echo'): Promise<readonly PodSeen[]> {
    return (await this.status()).pods.filter((pod) => pod.deployment === deployment);
  }

  /** Ids of every process of the mesh, the supervisor included. */
  async pids(): Promise<number[]> {
    return (await this.status()).processes.flatMap(({ pid }) => (pid === null ? [] : [pid]));
  }

  /** Ends the mesh, if it runs, and removes everything. */
  async remove(): Promise<void> {
    await this.run('local', 'down');
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** True while a process runs; one that only waits to be noticed by its parent does not. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    // No /proc on this system, or gone since.
    return false;
  }
}
