// Test cluster: a Kubernetes of its own for a test: control plane and nodes, started together and ended together.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type CommandResult, runCommand } from '../../harness/run-command.js';
import { waitUntil } from '../../harness/wait-until.js';
import { type ApiRequest, createApiRequest } from './api-request.js';
import type { ClusterAuthority } from './certificates.js';
import type { Component } from './component.js';
import { API_SERVER, type ControlPlane, startControlPlane } from './control-plane.js';
import { dnsImage, dnsManifest, type OutsideNames } from './dns.js';
import { BASE_IMAGES, type Images, writeImages } from './images.js';
import type { KubePrograms } from './kube-programs.js';
import { createNodeNetwork, removeNodeNetwork } from './network.js';
import { startNodes } from './nodes.js';

export interface ClusterOptions {
  readonly programs: KubePrograms;
  /** How many nodes run pods; none where it is not said. */
  readonly nodes?: number;
  /** Beside those that every cluster has (`BASE_IMAGES`). */
  readonly images?: Images;
  /** Names outside the cluster that its DNS knows, each with an address. */
  readonly outsideNames?: OutsideNames;
}

export interface KubectlOptions {
  /** For its standard input. */
  readonly input?: string;
  /** Another user's than the administrator's. */
  readonly kubeconfig?: string;
  /** Ends it with SIGTERM, and is an error. */
  readonly timeoutMs?: number;
}

/** The part of audit.k8s.io/v1 Event that tests ask for. */
export interface AuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string; readonly groups?: readonly string[] };
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number };
}

export interface Cluster {
  /** Of the administrator. */
  readonly kubeconfig: string;
  /** `https://ADDRESS:PORT` */
  readonly server: string;
  /** Signs servers and clients of this cluster. */
  readonly authority: ClusterAuthority;
  /** Where the cluster keeps its files; a test may put some of its own there. */
  readonly directory: string;
  /** A kubeconfig without a user, for a token of one's own (`--token`). */
  readonly anonymousKubeconfig: string;
  /** The requests that service accounts outside kube-system made. */
  auditEvents(): AuditEvent[];
  /** Runs kubectl to its end, however it went. */
  tryKubectl(args: readonly string[], options?: KubectlOptions): Promise<CommandResult>;
  /** Runs kubectl; what it wrote. @throws Error with what it said when it fails */
  kubectl(args: readonly string[], options?: KubectlOptions): Promise<string>;
  /** Runs kubectl with `-o json` and reads it. */
  get<T>(args: readonly string[]): Promise<T>;
  /** Asks the API server as the administrator. */
  readonly request: ApiRequest;
  /** Applies YAML text. */
  apply(yaml: string): Promise<void>;
  kubeconfigFor: ControlPlane['kubeconfigFor'];
  /** A program of the cluster, by name: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, or a node (node-1). @throws Error where there is none */
  component(name: string): Component;
  stopApiServer(): Promise<void>;
  startApiServer(): Promise<void>;
  restartApiServer(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts a cluster and waits until its nodes are ready and its DNS answers; one at a time, since a cluster has the tests' network for itself.
 *
 * @throws Error with the end of the log of the program that did not start
 */
export async function startCluster({
  programs,
  nodes = 0,
  images = {},
  outsideNames = {},
}: ClusterOptions): Promise<Cluster> {
  const directory = mkdtempSync(join(programs.state, 'cluster-'));
  createNodeNetwork();
  const plane = await startControlPlane({ directory, programs, hasNodes: nodes > 0 });
  const table = join(directory, 'images.json');
  writeImages(table, { ...BASE_IMAGES, coredns: dnsImage(programs.coredns), ...images });
  const machines = await startNodes({ directory, programs, plane, images: table, count: nodes });
  const components = [...plane.components, ...machines];
  const home = join(directory, 'home');
  mkdirSync(home);
  const tryKubectl = (args: readonly string[], options: KubectlOptions = {}) =>
    runCommand(programs.kubectl, args, {
      directory,
      env: { HOME: home, KUBECONFIG: options.kubeconfig ?? plane.kubeconfig },
      input: options.input,
    });
  const kubectl = async (args: readonly string[], options: KubectlOptions = {}) => {
    const { exitCode, stdout, stderr } = await tryKubectl(args, options);
    if (exitCode !== 0) throw new Error(`kubectl ${args.join(' ')} failed: ${stderr.trim()}`);
    return stdout;
  };
  const component = (name: string) => {
    const found = components.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no component ${name}; there are ${components.map((one) => one.name)}`);
    return found;
  };
  if (nodes > 0) {
    console.error(NOT_HAD);
    await kubectl(['apply', '-f', '-'], { input: stringify(KUBE_PROXY_ROLE) });
    await kubectl(['apply', '-f', '-'], { input: dnsManifest(outsideNames) });
    await waitUntilNodesAreReady(kubectl, machines);
    await kubectl(['rollout', 'status', 'deployment/coredns', '-n', 'kube-system', '--timeout=60s']);
  }
  return {
    kubeconfig: plane.kubeconfig,
    server: API_SERVER,
    authority: plane.authority,
    directory,
    anonymousKubeconfig: plane.anonymousKubeconfig,
    auditEvents: () => readAuditEvents(plane.auditLog),
    tryKubectl,
    kubectl,
    get: async (args) => JSON.parse(await kubectl([...args, '-o', 'json'])),
    request: createApiRequest(API_SERVER, plane.authority.certificate, plane.administrator),
    apply: async (yaml) => void (await kubectl(['apply', '-f', '-'], { input: yaml })),
    kubeconfigFor: plane.kubeconfigFor,
    component,
    stopApiServer: () => plane.apiServer.stop(),
    async startApiServer() {
      plane.apiServer.start();
      await plane.waitUntilReady();
    },
    async restartApiServer() {
      await plane.apiServer.stop();
      plane.apiServer.start();
      await plane.waitUntilReady();
    },
    async stop() {
      // The API server first: etcd waits for its watchers.
      for (const one of components.toReversed()) await one.stop(one.name === 'etcd' ? 'SIGKILL' : 'SIGTERM');
      removeNodeNetwork();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const NOT_HAD =
  'The test cluster has no control groups (limits are not enforced), no seccomp and no AppArmor (profiles are not applied), ' +
  'no pulled images, no hostPort, no shareProcessNamespace and no load balancers; all else of its nodes is real.';

/** kube-proxy's user has a role of Kubernetes, but nobody binds it. */
const KUBE_PROXY_ROLE = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRoleBinding',
  metadata: { name: 'kube-proxy' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:node-proxier' },
  subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'system:kube-proxy' }],
};

async function waitUntilNodesAreReady(kubectl: Cluster['kubectl'], nodes: readonly Component[]): Promise<void> {
  const areReady = async () => {
    for (const node of nodes) if (!node.isRunning()) throw new Error(`${node.name} ended: ${node.lastLines()}`);
    const path = '-o=jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}';
    const told = await kubectl(['get', 'nodes', path]);
    return told.split('\n').filter((line) => line === 'True').length === nodes.length;
  };
  await waitUntil('the nodes to be ready', areReady, 120_000, 200);
}

function readAuditEvents(path: string): AuditEvent[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.slice(0, -1).map((line) => JSON.parse(line) as AuditEvent); // the last line may be half written
}
