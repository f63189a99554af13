// Isolation: one pod's network namespace: its interface at the bridge, its files, the redirect rules, and the ports of its
// sidecar on the host.

import { spawn } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import type { Logger } from '@lateen/telemetry';
import { HeldNamespace, SYSTEM_ENVIRONMENT } from './held-namespace.js';
import type { MeshNetwork } from './mesh-network.js';
import { PROXY_GROUP } from './namespace-access.js';
import { HUB, linkName, PREFIX_LENGTH } from './pod-addresses.js';
import { podFiles, writePodFiles } from './pod-files.js';
import { Relay } from './relay.js';
import type { Target } from './relay-messages.js';

/** Ports of the sidecar that are open within the mesh, and not redirected: merged metrics and probes, readiness, metrics. */
const OPEN_PORTS = [15020, 15021, 15090] as const;
/** Only the pod itself reaches it. */
const ADMIN: Target = { host: '127.0.0.1', port: 15000 };
const MODE_ANNOTATION = 'sidecar.istio.io/interceptionMode';

/**
 * $1: the process that holds the bridge; $2: name of the pod's end there; $3, $4: addresses, the second empty without IPv6;
 * $5, $6: those of the bridge; $7: directory of the pod's files. Connections of the proxy over IPv6 come from ::6, which has to
 * be there; 127.0.0.6 is.
 */
const POD_SCRIPT = `
in_hub() { nsenter --net=/proc/$hub/ns/net -- ip link "$@"; }
hub=$1 name=$2
ip link set lo up
in_hub delete "$name" 2>/dev/null || true
ip link add eth0 type veth peer name "$name" netns "$hub"
ip address add "$3" dev eth0
if [ -n "$4" ]; then
  ip -6 address add "$4" dev eth0 nodad
  ip -6 address add ::6/128 dev lo nodad
fi
ip link set eth0 up
in_hub set dev "$name" master hub up
ip route add default via "$5"
if [ -n "$4" ]; then ip -6 route add default via "$6"; fi
echo 0 2>/dev/null > /proc/sys/net/ipv4/ip_unprivileged_port_start || true
for file in resolv.conf hosts nsswitch.conf; do
  if [ -e "/etc/$file" ]; then mount --bind "$7/$file" "/etc/$file"
  elif [ "$file" != nsswitch.conf ]; then echo "/etc/$file is missing: make an empty one, over which the pod's own can be laid" >&2; exit 1
  fi
done
if [ -d /run/nscd ]; then mount -t tmpfs tmpfs /run/nscd; fi
`;

export interface PodNetworkOptions {
  readonly network: MeshNetwork;
  /** The pod's place in the address book: where the host reaches its sidecar's ports. */
  readonly hostAddress: string;
  readonly directory: string;
  readonly podName: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** A gateway's connections are not redirected. */
  readonly gateway: boolean;
  /** Further ports of the host that lead into the pod, by the pod's port. */
  readonly hostPorts: ReadonlyMap<number, Target>;
  readonly redirectProgram: string;
  readonly relayProgram: string;
  readonly logger: Logger;
  /** The namespace has to be made again, and whoever runs in it to be started again. */
  readonly onLost: () => void;
}

export class PodNetwork {
  /** In the mesh, IPv4 first. */
  readonly addresses: readonly string[];
  readonly #options: PodNetworkOptions;
  #held: HeldNamespace | undefined;
  #making: Promise<HeldNamespace> | undefined;
  #forwards: (() => void)[] | undefined;
  #adminServer: Server | undefined;
  #adminRelay: Relay | undefined;
  #closed = false;

  constructor(options: PodNetworkOptions) {
    this.#options = options;
    this.addresses = options.network.podAddresses(options.hostAddress);
  }

  /** The address by which the pod is known. */
  get address(): string {
    return this.addresses[0]!;
  }

  /** `HOST:PORT` of Pilot and Citadel, as pods reach them. */
  get controlPlane(): { readonly pilot: string; readonly citadel: string } {
    return this.#options.network;
  }

  /** Resolves when programs can run in the pod. @throws Error with what went wrong */
  async ready(): Promise<void> {
    if (this.#held?.isHeld) return;
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined;
    });
    this.#held = await this.#making;
  }

  /** The command line of an application in the pod. @throws Error where there is no namespace at this time */
  commandOfApplication(directory: string, command: readonly string[]): string[] {
    return this.#command(
      ['setpriv', '--bounding-set=-net_admin,-sys_admin', '--inh-caps=-net_admin,-sys_admin'],
      directory,
      command,
    );
  }

  /** The same for its proxy, which redirect rules know by its group; it may do nothing that others may not. */
  commandOfProxy(directory: string, command: readonly string[]): string[] {
    const nothing = ['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all', '--no-new-privs'];
    const group = ['--regid', String(PROXY_GROUP), '--clear-groups'];
    return this.#command(['setpriv', ...group, ...nothing], directory, command);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const end of this.#forwards ?? []) end();
    this.#adminServer?.close();
    await this.#adminRelay?.close();
    await this.#making?.catch(() => undefined);
    await this.#held?.close();
  }

  #command(setpriv: readonly string[], directory: string, command: readonly string[]): string[] {
    if (!this.#held?.isHeld) throw new Error(`the network of pod ${this.#options.podName} is not there yet; try again`);
    // A directory that was entered before the mount namespace would not be found again in it.
    const inDirectory = ['sh', '-c', 'cd -- "$0" && exec "$@"', directory, ...command];
    return [...this.#options.network.access.enter(this.#held.pid), ...setpriv, '--', ...inDirectory];
  }

  async #make(): Promise<HeldNamespace> {
    const { network, hostAddress, directory, gateway, annotations, podName } = this.#options;
    const mode = annotations[MODE_ANNOTATION];
    if (mode !== undefined && mode !== 'REDIRECT') {
      throw new Error(`annotation ${MODE_ANNOTATION}: ${mode} is not to be had with --isolation netns; take it away`);
    }
    await writePodFiles(directory, { ...this.#options, addresses: this.addresses, nameServer: HUB.ipv4 });
    const [ipv4, ipv6] = this.addresses;
    const { namespace } = await HeldNamespace.create(
      network.access.create,
      POD_SCRIPT,
      [
        ...[String(network.hubPid), linkName(hostAddress)],
        ...[`${ipv4}/${PREFIX_LENGTH.ipv4}`, ipv6 === undefined ? '' : `${ipv6}/${PREFIX_LENGTH.ipv6}`],
        ...[HUB.ipv4, HUB.ipv6, podFiles(directory).etc],
      ],
      () => this.#lost(),
    ).catch((error: Error) => {
      throw new Error(`the network of pod ${podName} could not be made: ${error.message}`);
    });
    try {
      if (!gateway) await this.#redirect(namespace);
      await this.#openHostPorts();
      if (this.#closed) throw new Error(`pod ${podName} has ended`);
    } catch (error) {
      await namespace.close();
      throw error;
    }
    return namespace;
  }

  /** By lateen-redirect, as an init container does it in a cluster. */
  #redirect(namespace: HeldNamespace): Promise<void> {
    const { network, directory, redirectProgram, podName } = this.#options;
    const files = podFiles(directory);
    const [program, ...args] = [
      ...[...network.access.enter(namespace.pid), process.execPath, redirectProgram],
      ...['--from-annotations', files.annotations, '--proxy-uid', '', '--proxy-gid', String(PROXY_GROUP)],
      ...['--redirect-dns', '--resolv-conf', files.resolvConf],
    ] as [string, ...string[]];
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: SYSTEM_ENVIRONMENT });
      let said = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk: Buffer) => {
          said += chunk.toString();
        });
      }
      child.once('error', reject);
      child.once('close', (code) => {
        if (code === 0) resolve();
        else reject(new Error(`the redirect rules of pod ${podName} could not be written: ${said.trim()}`));
      });
    });
  }

  /** They stay when the namespace is made again: they lead to addresses. */
  async #openHostPorts(): Promise<void> {
    if (this.#forwards !== undefined) return;
    const { network, hostAddress, hostPorts } = this.#options;
    const wanted = [...OPEN_PORTS.map((port) => [port, { host: hostAddress, port }] as const), ...hostPorts];
    const forwards: (() => void)[] = [];
    this.#forwards = forwards;
    try {
      for (const [port, at] of wanted) forwards.push(await network.forward(at, { host: this.address, port }));
      this.#adminServer = await this.#serveAdmin();
    } catch (error) {
      for (const end of forwards) end();
      this.#forwards = undefined;
      throw error;
    }
  }

  /** Its admin API is asked rarely: a relay within the pod is started when it is, and ends after that. */
  #serveAdmin(): Promise<Server> {
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      socket.on('error', () => socket.destroy());
      try {
        this.#adminRelay ??= this.#startAdminRelay();
        this.#adminRelay.connect(socket, ADMIN);
      } catch (error) {
        this.#options.logger.warn(
          { pod: this.#options.podName, error },
          'the admin API of a sidecar cannot be reached',
        );
        socket.destroy();
      }
    });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(ADMIN.port, this.#options.hostAddress, () => resolve(server));
    });
  }

  #startAdminRelay(): Relay {
    if (!this.#held?.isHeld) throw new Error('the network of the pod is not there yet');
    const relay: Relay = new Relay({
      enter: this.#options.network.access.enter(this.#held.pid),
      program: this.#options.relayProgram,
      onLost: () => this.#forgetAdminRelay(relay),
      onIdle: () => {
        this.#forgetAdminRelay(relay);
        void relay.close();
      },
    });
    return relay;
  }

  #forgetAdminRelay(relay: Relay): void {
    if (this.#adminRelay === relay) this.#adminRelay = undefined;
  }

  #lost(): void {
    const { podName, logger, onLost } = this.#options;
    if (this.#closed) return;
    logger.warn(
      { pod: podName },
      "the network of a pod has ended; it is made again, and the pod's processes start again",
    );
    onLost();
  }
}
