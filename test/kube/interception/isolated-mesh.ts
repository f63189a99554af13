// Interception tests: a local mesh whose pods have network namespaces, driven by lateenctl as root or as an ordinary user.
import { spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StatusSeen } from '../../e2e/local-mesh.js';
import { REPOSITORY } from '../../harness/repository.js';
import { type CommandResult, runCommand } from '../../harness/run-command.js';

const LATEENCTL = join(REPOSITORY, 'bin/lateenctl');
/** The user `nobody`, whom every system has. */
export const NOBODY = 65_534;
/** Of the groups that tests let this user hand out. */
const FIRST_GROUP = 700_000;

/** Answers on port 8080, whatever its environment says: an application that knows nothing of a mesh. */
const PLAIN_PROGRAM = `
import { createServer } from 'node:http';
import { hostname } from 'node:os';
createServer((request, response) => response.end(process.env.HOSTNAME)).listen(8080);
process.on('SIGTERM', () => process.exit(0));
`;

/** Two replicas on one port, and a pod whose calls to port 8080 pass by its sidecar. */
export const ECHO_DOCUMENTS = ['echo', 'bypass']
  .map(
    (name) => `apiVersion: v1
kind: ServiceAccount
metadata: {name: ${name}}
---
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec:
  selector: {app: ${name}}
  ports: [{port: 80, name: http, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  replicas: ${name === 'echo' ? 2 : 1}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata:
      labels: {app: ${name}}
      annotations:
        lateen.io/local-command: '["node", "echo.mjs"]'
        ${name === 'echo' ? '' : "traffic.sidecar.istio.io/excludeOutboundPorts: '8080'"}
    spec:
      serviceAccountName: ${name}
      containers:
      - name: ${name}
        image: echo:1
        ports: [{containerPort: 8080}]
`,
  )
  .join('---\n');

export interface IsolatedStatus extends StatusSeen {
  readonly pods: readonly (StatusSeen['pods'][number] & { readonly podIp: string })[];
}

export class IsolatedMesh {
  readonly directory = mkdtempSync(join(tmpdir(), 'lateen-isolated-'));
  readonly #prefix: readonly string[];
  readonly #user: readonly string[];

  /** @param uid who runs it; with `groups` the user may hand some out, as /etc/subgid says it */
  constructor(uid: number, groups: 'some' | 'none') {
    this.write('echo.mjs', PLAIN_PROGRAM);
    this.write('echo.yaml', ECHO_DOCUMENTS);
    chownSync(this.directory, uid, uid);
    const ids = ['--reuid', String(uid), '--regid', String(uid), '--clear-groups', '--'];
    this.#user = uid === 0 ? [] : ['setpriv', ...ids];
    const subgid = this.write('subgid', groups === 'some' ? `${uid}:${FIRST_GROUP}:10\n` : '');
    // The file of this process tree alone: the machine's stays as it is.
    const mount = `test -e /etc/subgid || exit 9; mount --bind '${subgid}' /etc/subgid && exec "$@"`;
    this.#prefix = uid === 0 ? [] : ['unshare', '--mount', 'sh', '-c', mount, 'sh'];
  }

  write(name: string, content: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, content);
    return path;
  }

  run(...args: readonly string[]): Promise<CommandResult> {
    return this.#spawn([...this.#user, process.execPath, LATEENCTL, ...args]);
  }

  async ok(...args: readonly string[]): Promise<string> {
    return succeeded(args, await this.run(...args));
  }

  up(...args: readonly string[]): Promise<CommandResult> {
    const command = ['local', 'up', '--isolation', 'netns', '--ingress-port', '0', ...args];
    return this.#spawn([...this.#prefix, ...this.#user, process.execPath, LATEENCTL, ...command]);
  }

  /** Runs a program in a pod's namespace. */
  inPod(pod: string, ...command: readonly string[]): Promise<CommandResult> {
    return this.run('local', 'exec', pod, '--', ...command);
  }

  /** The body that Node's own fetch gets in a pod. */
  async fetchInPod(pod: string, url: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
    const script = `fetch(${JSON.stringify(url)}, { headers: ${JSON.stringify(headers)} }).then(async (answer) =>
      process.stdout.write(answer.status + ' ' + (await answer.text())))`;
    return succeeded([url], await this.inPod(pod, process.execPath, '-e', script));
  }

  async status(): Promise<IsolatedStatus> {
    return JSON.parse(await this.ok('local', 'status', '-o', 'json')) as IsolatedStatus;
  }

  /** Ends the mesh and removes everything. */
  async remove(): Promise<void> {
    await this.run('local', 'down');
    rmSync(this.directory, { recursive: true, force: true });
  }

  #spawn(command: readonly string[]): Promise<CommandResult> {
    const [program = '', ...args] = command;
    const env = { LATEEN_STATE_DIR: join(this.directory, 'state'), HOME: this.directory, NO_COLOR: '1' };
    return runCommand(program, args, { directory: this.directory, env: { ...env, XDG_RUNTIME_DIR: undefined } });
  }
}

function succeeded(what: readonly string[], { exitCode, stdout, stderr }: CommandResult): string {
  if (exitCode === 0) return stdout;
  throw new Error(`${what.join(' ')} exits ${exitCode}: ${stderr}${stdout}`);
}

/** The network namespaces in which programs run, by their number, with those programs. */
export function networkNamespaces(): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const namespace = readlinkSync(`/proc/${name}/ns/net`);
      found.set(namespace, [...(found.get(namespace) ?? []), Number(name)]);
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

/** What a mesh could change of this machine's network. */
export function networkOfHost(): string {
  const commands = ['ip -o link', 'ip -o address', 'ip route', 'ip -6 route', 'nft list ruleset', 'ip netns list'];
  return commands
    .map((command) => {
      const [program = '', ...args] = command.split(' ');
      const text = spawnSync(program, args, { encoding: 'utf8' }).stdout;
      return `${command}\n${text.replaceAll(/(?:valid_lft|preferred_lft|expires) \w+/g, '')}`;
    })
    .join('\n');
}
