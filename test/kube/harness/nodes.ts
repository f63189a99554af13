// Test cluster: its nodes: each a machine of its own (network, mounts, processes) with the real kubelet and kube-proxy, on a
// container runtime of the tests (cluster/machine).

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { CLUSTER_DOMAIN, DNS_SERVICE, type NodeAddresses, nodeAddresses, POD_RANGES } from './addresses.js';
import { type Component, createComponent } from './component.js';
import type { ControlPlane } from './control-plane.js';
import type { KubePrograms } from './kube-programs.js';
import { LAN } from './network.js';

export interface NodesOptions {
  readonly directory: string;
  readonly programs: KubePrograms;
  readonly plane: ControlPlane;
  /** The table of images. */
  readonly images: string;
  readonly count: number;
}

/** Starts the nodes. They ask the API server by themselves; that they are ready is not waited for. */
export async function startNodes(options: NodesOptions): Promise<Component[]> {
  const all = Array.from({ length: options.count }, (_none, index) => nodeAddresses(index + 1));
  return Promise.all(all.map((node) => startNode(options, node, all)));
}

async function startNode(
  options: NodesOptions,
  node: NodeAddresses,
  all: readonly NodeAddresses[],
): Promise<Component> {
  const { programs, directory: shared } = options;
  const directory = join(shared, node.name);
  mkdirSync(directory);
  const others = all.filter((other) => other.name !== node.name);
  const config = {
    name: node.name,
    directory,
    shared,
    programs: programs.kube.replace(/\/kube$/, ''),
    images: options.images,
    lan: node === all[0] ? '' : LAN,
    addresses: [node.ipv4, node.ipv6],
    podRanges: node.podRanges,
    routes: [
      ...others.flatMap((other) => [
        { to: other.podRanges[0], via: other.ipv4 },
        { to: other.podRanges[1], via: other.ipv6 },
      ]),
      // The first node stands for the world outside.
      ...(node === all[0]
        ? []
        : [
            { to: '0.0.0.0/0', via: all[0]!.ipv4 },
            { to: '::/0', via: all[0]!.ipv6 },
          ]),
    ],
    services: {
      kubelet: await kubeletArguments(options, node, directory),
      'kube-proxy': await proxyArguments(options, node, directory),
    },
  };
  const file = join(directory, 'node.json');
  writeFileSync(file, JSON.stringify(config, undefined, 2));
  const component = createComponent(
    node.name,
    programs.machine,
    ['node', file],
    join(shared, 'logs', `${node.name}.log`),
  );
  component.start();
  return component;
}

async function kubeletArguments({ plane }: NodesOptions, node: NodeAddresses, directory: string): Promise<string[]> {
  const serving = await plane.authority.issue(`kubelet-${node.name}`, {
    commonName: `system:node:${node.name}`,
    organizations: ['system:nodes'],
    hosts: [node.name, node.ipv4, node.ipv6],
  });
  const resolver = join(directory, 'resolv.conf');
  writeFileSync(resolver, ''); // nobody outside the cluster knows names
  const config = {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: 'unix:///run/cri.sock',
    authentication: { x509: { clientCAFile: plane.authority.certificate }, webhook: { enabled: true } },
    authorization: { mode: 'Webhook' },
    tlsCertFile: serving.certificate,
    tlsPrivateKeyFile: serving.key,
    clusterDNS: [DNS_SERVICE.ipv4],
    clusterDomain: CLUSTER_DOMAIN,
    resolvConf: resolver,
    podLogsDir: join(directory, 'logs'),
    // The tests' runtime puts containers in no control group.
    cgroupDriver: 'cgroupfs',
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    localStorageCapacityIsolation: false,
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    // Files are in memory, and there are no images to remove.
    evictionHard: {
      'memory.available': '0%',
      'nodefs.available': '0%',
      'imagefs.available': '0%',
      'nodefs.inodesFree': '0%',
    },
    imageGCHighThresholdPercent: 100,
    serializeImagePulls: false,
    // A test that changes a ConfigMap waits for a pod to see it.
    syncFrequency: '10s',
    nodeStatusUpdateFrequency: '5s',
  };
  const file = join(directory, 'kubelet.yaml');
  writeFileSync(file, stringify(config));
  return [
    `--config=${file}`,
    `--kubeconfig=${await plane.kubeconfigFor(`system:node:${node.name}`, ['system:nodes'])}`,
    `--hostname-override=${node.name}`,
    `--node-ip=${node.ipv4},${node.ipv6}`,
  ];
}

async function proxyArguments({ plane }: NodesOptions, node: NodeAddresses, directory: string): Promise<string[]> {
  const config = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clientConnection: { kubeconfig: await plane.kubeconfigFor('system:kube-proxy') },
    hostnameOverride: node.name,
    mode: 'nftables',
    clusterCIDR: POD_RANGES,
    nftables: { minSyncPeriod: '100ms' },
    // The machine's own limits, which a namespace cannot change.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  };
  const file = join(directory, 'kube-proxy.yaml');
  writeFileSync(file, stringify(config));
  return [`--config=${file}`];
}
