// Test cluster: a Kubernetes of its own for a test: control plane and nodes, started together and ended together.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type CommandResult, runCommand } from '../../harness/run-command.js';
import { type ApiRequest, createApiRequest } from './api-request.js';
import type { ClusterAuthority } from './certificates.js';
import type { Component } from './component.js';
import { API_SERVER, type ControlPlane, startControlPlane } from './control-plane.js';
import type { KubePrograms } from './kube-programs.js';
import { createNodeNetwork, removeNodeNetwork } from './network.js';

export interface ClusterOptions {
  readonly programs: KubePrograms;
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
  /** A program of the cluster, by name: etcd, kube-apiserver, kube-controller-manager, kube-scheduler. @throws Error where there is none */
  component(name: string): Component;
  stopApiServer(): Promise<void>;
  startApiServer(): Promise<void>;
  restartApiServer(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a cluster; one at a time, since a cluster has the tests' network for itself. */
export async function startCluster({ programs }: ClusterOptions): Promise<Cluster> {
  const directory = mkdtempSync(join(programs.state, 'cluster-'));
  createNodeNetwork();
  const plane = await startControlPlane({ directory, programs, hasNodes: false });
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
    const found = plane.components.find((one) => one.name === name);
    if (found === undefined)
      throw new Error(`no component ${name}; there are ${plane.components.map((one) => one.name)}`);
    return found;
  };
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
      for (const one of plane.components.toReversed()) await one.stop(one.name === 'etcd' ? 'SIGKILL' : 'SIGTERM');
      removeNodeNetwork();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function readAuditEvents(path: string): AuditEvent[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.slice(0, -1).map((line) => JSON.parse(line) as AuditEvent); // the last line may be half written
}
