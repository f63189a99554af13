// Isolation: the network of a mesh's pods: a bridge in a namespace of its own, and the ways between it and the host. Nothing of
// the host's own network is changed, and nothing outside can be reached from it.

import type { Server } from 'node:net';
import type { Logger } from '@lateen/telemetry';
import type { MeshAddresses } from '../mesh-addresses.js';
import { HeldNamespace } from './held-namespace.js';
import { leadOn } from './join-sockets.js';
import { type NamespaceAccess, openNamespaceAccess } from './namespace-access.js';
import { HUB, PREFIX_LENGTH, podAddresses, serviceAddresses } from './pod-addresses.js';
import { Relay } from './relay.js';
import type { Target } from './relay-messages.js';

/**
 * $1, $2: addresses of the bridge with their prefixes. A bridge takes the link address of its lowest port unless it has one,
 * and neighbours would lose it. It forwards nothing to anywhere, but it says so at once, and each time.
 */
const HUB_SCRIPT = `
ip link set lo up
ip link add hub type bridge
ip link set hub address 02:00:00:00:00:01
ip address add "$1" dev hub
ip link set hub up
echo 1 2>/dev/null > /proc/sys/net/ipv4/ip_forward || true
echo 0 2>/dev/null > /proc/sys/net/ipv4/icmp_ratelimit || true
if ip -6 address add "$2" dev hub nodad 2>/dev/null; then
  echo 1 2>/dev/null > /proc/sys/net/ipv6/conf/all/forwarding || true
  echo 0 2>/dev/null > /proc/sys/net/ipv6/icmp/ratelimit || true
  echo ipv6
fi
`;

export interface MeshNetworkOptions {
  readonly mesh: MeshAddresses;
  readonly relayProgram: string;
  readonly logger: Logger;
  /** The network broke, and all pods with it. */
  readonly onLost: () => void;
}

export class MeshNetwork {
  readonly access: NamespaceAccess;
  readonly hasIpv6: boolean;
  /** Where pods find the control plane. */
  readonly pilot: string;
  readonly citadel: string;
  readonly #hub: HeldNamespace;
  readonly #relay: Relay;
  readonly #doors: Server[] = [];

  private constructor(
    { mesh }: MeshNetworkOptions,
    parts: { access: NamespaceAccess; hub: HeldNamespace; relay: Relay; hasIpv6: boolean },
  ) {
    this.access = parts.access;
    this.hasIpv6 = parts.hasIpv6;
    this.#hub = parts.hub;
    this.#relay = parts.relay;
    this.pilot = `${HUB.ipv4}:${mesh.pilot.xdsPort}`;
    this.citadel = `${HUB.ipv4}:${mesh.citadel.grpcPort}`;
  }

  /** @throws Error saying what is missing on this system */
  static async open(options: MeshNetworkOptions): Promise<MeshNetwork> {
    const { mesh, relayProgram, logger } = options;
    let lost = false;
    const onLost = () => {
      if (lost) return;
      lost = true;
      logger.error(
        {},
        'the network of the pods has ended, and the mesh with it; start it again with `lateenctl local up`',
      );
      options.onLost();
    };
    const access = await openNamespaceAccess(onLost);
    const addresses = [`${HUB.ipv4}/${PREFIX_LENGTH.ipv4}`, `${HUB.ipv6}/${PREFIX_LENGTH.ipv6}`];
    const { namespace: hub, output } = await HeldNamespace.create(access.create, HUB_SCRIPT, addresses, onLost).catch(
      async (error: Error) => {
        await access.close();
        throw new Error(`the network of the pods could not be made: ${error.message}`);
      },
    );
    const relay = new Relay({
      enter: access.enter(hub.pid),
      program: relayProgram,
      onLost,
    });
    const network = new MeshNetwork(options, { access, hub, relay, hasIpv6: output.includes('ipv6') });
    try {
      await network.#openDoor({ host: mesh.pilot.address, port: mesh.pilot.xdsPort });
      await network.#openDoor({ host: mesh.citadel.address, port: mesh.citadel.grpcPort });
    } catch (error) {
      await network.close();
      throw error;
    }
    return network;
  }

  get hubPid(): number {
    return this.#hub.pid;
  }

  podAddresses(address: string): readonly string[] {
    return podAddresses(address, this.hasIpv6);
  }

  serviceAddresses(address: string): readonly string[] {
    return serviceAddresses(address, this.hasIpv6);
  }

  /** Leads connections to an address of the host on to a pod. @returns what ends it */
  forward(at: Target, target: Target): Promise<() => void> {
    return this.#relay.forward(at, target);
  }

  async close(): Promise<void> {
    for (const door of this.#doors) door.close();
    await this.#relay.close();
    await this.#hub.close();
    await this.access.close();
  }

  /** Pods reach a port of the host's at the bridge. */
  async #openDoor(target: Target): Promise<void> {
    const server = await this.#relay.listen({ host: HUB.ipv4, port: target.port });
    server.on('connection', (socket) => leadOn(socket, target));
    this.#doors.push(server);
  }
}
