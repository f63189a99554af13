// Access: which API server, as whom. Kubeconfig files, contexts, exec plugins and the pod's own account by @kubernetes/client-node.
import { createHash } from 'node:crypto';
import { accessSync } from 'node:fs';
import { Agent as HttpAgent, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { type ApiRequest, sendRequest } from './send-request.js';

export type { ApiRequest } from './send-request.js';

export interface ClusterAccessOptions {
  /** File to read; without it `KUBECONFIG`, then `~/.kube/config`. */
  readonly kubeconfig?: string;
  /** Context of the kubeconfig; its current one without. */
  readonly context?: string;
  /** The account of the pod that this program runs in. */
  readonly inCluster?: boolean;
}

export interface ClusterAccess {
  /** Address of the API server. */
  readonly server: string;
  readonly context: string;
  /** The context's, or the pod's; `default` where neither says. */
  readonly namespace: string;
  /** For what else of @kubernetes/client-node a program needs, such as port-forwards. */
  readonly kubeConfig: KubeConfig;
  /** Resolves with the answer, whatever its status; its body is still to be read. Rejects when the server cannot be reached. */
  open(request: ApiRequest): Promise<IncomingMessage>;
  /** Closes idle connections. */
  close(): void;
}

/** The kubeconfig or the pod's account cannot be used; says what to do. */
export class ClusterAccessError extends Error {
  override readonly name = 'ClusterAccessError';
}

const TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/**
 * Finds out how to reach the API server. Nothing is sent yet.
 * @throws ClusterAccessError naming the file, the context or the mount that is missing
 */
export async function loadClusterAccess(options: ClusterAccessOptions = {}): Promise<ClusterAccess> {
  // Loaded when it is needed: it is large, and local mode never needs it.
  const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
  const config = new KubeConfig();
  if (options.inCluster) {
    if (!process.env.KUBERNETES_SERVICE_HOST || !exists(TOKEN_FILE)) {
      throw new ClusterAccessError(
        `this program does not run in a pod with a service account's token (KUBERNETES_SERVICE_HOST and ${TOKEN_FILE}); give it --kubeconfig FILE`,
      );
    }
    config.loadFromCluster();
  } else {
    loadFile(config, options.kubeconfig);
    selectContext(config, options.context);
  }
  return new ConfiguredAccess(config);
}

function loadFile(config: KubeConfig, file: string | undefined): void {
  try {
    if (file === undefined) config.loadFromDefault();
    else config.loadFromFile(file);
  } catch (error) {
    const { message } = error as Error;
    throw new ClusterAccessError(`${file ?? 'the kubeconfig'} cannot be used: ${message}`, { cause: error });
  }
  // What client-node assumes when it finds no file at all.
  if (file === undefined && config.getCurrentContext() === 'loaded-context') {
    throw new ClusterAccessError('there is no kubeconfig: give --kubeconfig FILE, or set KUBECONFIG');
  }
}

function selectContext(config: KubeConfig, context: string | undefined): void {
  const names = config.getContexts().map(({ name }) => name);
  if (context !== undefined) config.setCurrentContext(context);
  const current = config.getCurrentContext();
  if (!names.includes(current)) {
    const known = names.length === 0 ? 'none' : names.join(', ');
    const what = current ? `the context ${current} is not in the kubeconfig` : 'the kubeconfig has no current context';
    throw new ClusterAccessError(`${what}; it has: ${known}; name one by --kube-context`);
  }
  if (config.getCurrentCluster() === null) {
    throw new ClusterAccessError(`the cluster of the context ${current} is not in the kubeconfig`);
  }
}

function exists(file: string): boolean {
  try {
    accessSync(file);
    return true;
  } catch {
    return false;
  }
}

/** The members of what client-node fills in that decide which connections a request may share. */
const CONNECTION_OPTIONS = ['ca', 'cert', 'key', 'pfx', 'passphrase', 'rejectUnauthorized', 'servername'] as const;

class ConfiguredAccess implements ClusterAccess {
  readonly server: string;
  readonly context: string;
  readonly namespace: string;
  #agentKey = '';
  #agent: HttpAgent | HttpsAgent | undefined;

  constructor(readonly kubeConfig: KubeConfig) {
    this.server = kubeConfig.getCurrentCluster()!.server.replace(/\/+$/, '');
    this.context = kubeConfig.getCurrentContext();
    this.namespace = kubeConfig.getContextObject(this.context)?.namespace || 'default';
  }

  async open(request: ApiRequest): Promise<IncomingMessage> {
    // Reads the token's file again when it is a minute old, and runs exec plugins when theirs has expired.
    const options: RequestOptions & Record<string, unknown> = {};
    await this.kubeConfig.applyToHTTPSOptions(options as never);
    const agent = this.#agentFor(options);
    const { headers, auth } = options as { headers?: Record<string, string>; auth?: string };
    return sendRequest(this.server, request, { agent, auth, headers: headers ?? {} });
  }

  close(): void {
    this.#agent?.destroy();
  }

  #agentFor(options: RequestOptions & Record<string, unknown>): HttpAgent | HttpsAgent {
    const values = CONNECTION_OPTIONS.map((name) => options[name]);
    const digest = createHash('sha256');
    for (const value of values) digest.update(value instanceof Buffer ? value : JSON.stringify(value ?? null));
    const key = digest.digest('hex');
    if (this.#agent === undefined || key !== this.#agentKey) {
      this.#agentKey = key;
      const previous = this.#agent;
      this.#agent = this.#createAgent(options);
      // Watches on the old one end by themselves; only its idle connections would stay.
      for (const socket of Object.values(previous?.freeSockets ?? {}).flat()) socket?.destroy();
    }
    return this.#agent;
  }

  #createAgent(options: RequestOptions & Record<string, unknown>): HttpAgent | HttpsAgent {
    if (this.kubeConfig.getCurrentCluster()?.proxyUrl) return options.agent as HttpsAgent;
    if (this.server.startsWith('http:')) return new HttpAgent({ keepAlive: true });
    const tls = Object.fromEntries(CONNECTION_OPTIONS.map((name) => [name, options[name]]));
    return new HttpsAgent({ keepAlive: true, ...tls });
  }
}
