// Test cluster: who has which address. All of them are in network namespaces that the cluster makes; nothing of the machine's
// own network is touched. Node 1 is the machine of the control plane and of the tests.

export const SERVICE_RANGES = '10.96.0.0/16,fd00:96::/108';
export const POD_RANGES = '10.244.0.0/16,fd00:244::/48';
/** The Service `kubernetes`, and kube-dns as kubeadm has it. */
export const API_SERVER_SERVICE = '10.96.0.1';
export const DNS_SERVICE = { ipv4: '10.96.0.10', ipv6: 'fd00:96::a' } as const;
export const CLUSTER_DOMAIN = 'cluster.local';
export const API_SERVER_PORT = 6443;

export interface NodeAddresses {
  readonly name: string;
  /** In the network that joins the nodes. */
  readonly ipv4: string;
  readonly ipv6: string;
  readonly podRanges: readonly [ipv4: string, ipv6: string];
}

/** @param number 1 for the first */
export function nodeAddresses(number: number): NodeAddresses {
  return {
    name: `node-${number}`,
    ipv4: `172.30.0.${number}`,
    ipv6: `fd00:30::${number.toString(16)}`,
    podRanges: [`10.244.${number}.0/24`, `fd00:244:0:${number.toString(16)}::/64`],
  };
}

export const CONTROL_PLANE = nodeAddresses(1);
