// Interception tests: two network namespaces: a pod with redirect rules, and everything outside of it.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../../harness/repository.js';

export const PEER = join(REPOSITORY, 'test', 'kube', 'interception', 'peer.mjs');
/** Who the proxy is in a pod; what it sends is not redirected. */
export const PROXY_UID = 1337;
export const APP_UID = 1000;
/** Of the pod, and of a client outside of it. */
export const POD = { ipv4: '10.77.0.2', ipv6: 'fd77::2' };
export const OUTSIDE = { ipv4: '10.77.0.1', ipv6: 'fd77::1' };

/** Why no network namespaces can be made here; undefined where they can. @throws Error in CI */
export function whyNoNamespaces(): string | undefined {
  const reason = findObstacle();
  if (reason === undefined) return undefined;
  if (process.env.CI === 'true') throw new Error(reason);
  console.error(`\nSKIPPED: ${reason}\n`);
  return reason;
}

function findObstacle(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are Linux’s';
  if (process.getuid?.() !== 0) return 'network namespaces and redirect rules need root: run the tests as root';
  for (const program of ['ip', 'nft', 'setpriv']) {
    const missing = spawnSync(program, ['--version']).error !== undefined;
    if (missing) return `no ${program}: install it (iproute2, nftables, util-linux)`;
  }
  const name = `lateen-try-${process.pid}`;
  const tried = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' });
  if (tried.status !== 0) return `no network namespace can be made: ${tried.stderr.trim()}`;
  spawnSync('ip', ['netns', 'delete', name]);
  // The proxy runs as somebody else, who has to be able to read it.
  const reads = spawnSync('setpriv', [...asUser(PROXY_UID), process.execPath, '--check', PEER], { encoding: 'utf8' });
  if (reads.status !== 0) return `uid ${PROXY_UID} cannot read the repository: ${reads.stderr.trim()}`;
  return undefined;
}

function asUser(uid: number): string[] {
  if (uid === 0) return [];
  const user = String(uid);
  const nothing = ['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all', '--no-new-privs'];
  return ['--reuid', user, '--regid', user, '--clear-groups', ...nothing];
}

/** @throws Error with what the command said */
function run(command: string, args: readonly string[], input?: string): string {
  const done = spawnSync(command, args, { encoding: 'utf8', input });
  if (done.status === 0) return done.stdout;
  throw new Error(`${command} ${args.join(' ')}: ${done.error?.message ?? done.stderr.trim()}`);
}

export interface Running {
  readonly pid: number;
  /** Everything that it has printed. */
  output(): string;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Where programs run, as whom. */
export interface Place {
  readonly uid: number;
  readonly inPod: boolean;
}

export const APP: Place = { uid: APP_UID, inPod: true };
export const PROXY: Place = { uid: PROXY_UID, inPod: true };
export const CLIENT: Place = { uid: APP_UID, inPod: false };

let made = 0;

export class PodNetwork {
  private readonly pod: string;
  private readonly outside: string;
  private readonly programs: Running[] = [];

  constructor() {
    const suffix = `${process.pid}-${made++}`;
    this.pod = `lateen-pod-${suffix}`;
    this.outside = `lateen-out-${suffix}`;
    for (const name of [this.pod, this.outside]) {
      run('ip', ['netns', 'add', name]);
      run('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
    }
    const [near, far] = ['eth0', 'eth1'];
    run('ip', ['-n', this.pod, 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', this.outside]);
    for (const [name, link, { ipv4, ipv6 }] of [
      [this.pod, near, POD],
      [this.outside, far, OUTSIDE],
    ] as const) {
      run('ip', ['-n', name, 'address', 'add', `${ipv4}/24`, 'dev', link]);
      run('ip', ['-n', name, 'address', 'add', `${ipv6}/64`, 'dev', link, 'nodad']);
      run('ip', ['-n', name, 'link', 'set', link, 'up']);
    }
    // Unlike 127.0.0.6 this has to be given to the pod for connections to come from it.
    run('ip', ['-n', this.pod, 'address', 'add', '::6/128', 'dev', 'lo']);
    run('ip', ['-n', this.pod, 'route', 'add', 'default', 'via', OUTSIDE.ipv4]);
    run('ip', ['-n', this.pod, '-6', 'route', 'add', 'default', 'via', OUTSIDE.ipv6]);
  }

  /** Gives the outside one more address, as those of services and of servers elsewhere. */
  addOutside(...addresses: readonly string[]): void {
    for (const address of addresses) {
      const prefix = address.includes(':') ? 128 : 32;
      run('ip', [
        '-n',
        this.outside,
        'address',
        'add',
        `${address}/${prefix}`,
        'dev',
        'lo',
        ...(prefix === 128 ? ['nodad'] : []),
      ]);
    }
  }

  /** Makes this the name server of the pod. */
  nameServer(address: string, ...search: readonly string[]): void {
    // What `ip netns exec` puts over /etc.
    const directory = join('/etc/netns', this.pod);
    mkdirSync(directory, { recursive: true });
    const lines = [`nameserver ${address}`, `search ${search.join(' ')}`, 'options ndots:5', ''];
    writeFileSync(join(directory, 'resolv.conf'), lines.join('\n'));
  }

  /** Loads redirect rules in the pod. */
  redirect(rules: string): void {
    run('ip', ['netns', 'exec', this.pod, 'nft', '-f', '-'], rules);
  }

  /** Starts a program; it is stopped at the end. */
  start(place: Place, command: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
    const [program = '', ...args] = this.commandAt(place, command);
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH ?? '', ...env },
    });
    let output = '';
    const add = (chunk: Buffer): void => {
      output += chunk.toString();
    };
    child.stdout.on('data', add);
    child.stderr.on('data', add);
    const exited = once(child, 'exit') as Promise<[number | null]>;
    const running: Running = {
      pid: child.pid ?? 0,
      output: () => output,
      stop: async (signal = 'SIGTERM') => {
        child.kill(signal);
        return (await exited)[0];
      },
    };
    this.programs.push(running);
    return running;
  }

  /** Runs a client of peer.mjs to its end; what it printed. */
  ask<Answer = Record<string, unknown>>(place: Place, ...words: readonly string[]): Promise<Answer> {
    const [program = '', ...args] = this.commandAt(place, [process.execPath, PEER, ...words]);
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    return new Promise((resolve, reject) => {
      child.on('exit', () => {
        if (output === '') reject(new Error(`peer ${words.join(' ')} said nothing: ${errors}`));
        else resolve(JSON.parse(output) as Answer);
      });
    });
  }

  /** The programs of the pod that this user runs. */
  pidsOf(uid: number): number[] {
    const pids = run('ip', ['netns', 'pids', this.pod]).split('\n').filter(Boolean).map(Number);
    return pids.filter((pid) => readFileSync(`/proc/${pid}/status`, 'utf8').includes(`\nUid:\t${uid}\t`));
  }

  /** Starts a server of peer.mjs. */
  serve(place: Place, ...words: readonly string[]): Running {
    return this.start(place, [process.execPath, PEER, ...words]);
  }

  async close(): Promise<void> {
    for (const name of [this.pod, this.outside]) {
      // Also what programs have started.
      const pids = run('ip', ['netns', 'pids', name])
        .split('\n')
        .filter((pid) => pid !== '');
      for (const pid of pids) process.kill(Number(pid), 'SIGKILL');
    }
    await Promise.all(this.programs.map((program) => program.stop('SIGKILL')));
    for (const name of [this.pod, this.outside]) spawnSync('ip', ['netns', 'delete', name]);
    rmSync(join('/etc/netns', this.pod), { recursive: true, force: true });
  }

  private commandAt({ uid, inPod }: Place, command: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', inPod ? this.pod : this.outside, 'setpriv', ...asUser(uid), ...command];
  }
}

/** @throws Error where the sidecar is not built */
export function sidecarProgram(): string {
  const program = join(REPOSITORY, 'apps', 'sidecar', 'dist', 'main.js');
  accessSync(program, constants.R_OK);
  return program;
}

/** What a pod's redirect rules do: all TCP of the app to 15001, all that comes to the pod to 15006. */
export const REDIRECT_RULES = rules('');

/** The same, and DNS of the app toward this name server to 15053. */
export function rulesWithDns(nameServer: string): string {
  // Without zones a question of the proxy with the same ports as the app's would be taken for that one, and come back to it.
  return rules(
    `ip daddr ${nameServer} tcp dport 53 redirect to :15053
    ip daddr ${nameServer} udp dport 53 redirect to :15053`,
    `chain zone_out { type filter hook output priority raw;
    meta skuid ${PROXY_UID} udp dport 53 ct zone set 1
    meta skuid ${PROXY_UID} udp sport 15053 ct zone set 2
    meta skuid != ${PROXY_UID} udp dport 53 ip daddr ${nameServer} ct zone set 2
  }
  chain zone_in { type filter hook prerouting priority raw;
    udp sport 53 ip saddr ${nameServer} ct zone set 1
  }`,
  );
}

function rules(dns: string, zones = ''): string {
  return `
table inet lateen
delete table inet lateen
table inet lateen {
  ${zones}
  chain prerouting { type nat hook prerouting priority dstnat;
    tcp dport { 15020, 15021, 15090 } return
    meta l4proto tcp redirect to :15006
  }
  chain output { type nat hook output priority -100;
    oifname "lo" ip saddr 127.0.0.6 return
    oifname "lo" ip6 saddr ::6 return
    oifname "lo" meta skuid ${PROXY_UID} ip daddr != 127.0.0.1 meta l4proto tcp redirect to :15006
    oifname "lo" meta skuid ${PROXY_UID} ip6 daddr != ::1 meta l4proto tcp redirect to :15006
    oifname "lo" meta skuid != ${PROXY_UID} return
    meta skuid ${PROXY_UID} return
    ${dns}
    ip daddr 127.0.0.1 return
    ip6 daddr ::1 return
    meta l4proto tcp redirect to :15001
  }
}
`;
}
