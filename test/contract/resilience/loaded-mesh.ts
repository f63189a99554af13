// Resilience, step 1: a sidecar as a real process, pods whose behaviour can be changed, and Pilot's translation and ADS between them.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestAuthority } from '@lateen/identity/testing';
import type { ConformanceCase, PodOfCase } from '../../conformance/case-file.js';
import { CasePilot } from '../../conformance/mesh/case-pilot.js';
import { type CaseConfig, readCaseConfig, snapshotOf } from '../../conformance/mesh/case-snapshot.js';
import { type ConformanceProxy, startProxy } from '../../conformance/proxies/proxy.js';
import { type LoopbackLease, leaseLoopbackBlock } from '../../harness/loopback-lease.js';
import { waitUntil } from '../../harness/wait-until.js';

/** A line of the access log. */
export interface LoggedRequest {
  readonly id: string;
  readonly status: number;
  readonly flags: string;
  /** Address of the pod, or `-`. */
  readonly upstream: string;
  readonly startMs: number;
  readonly endMs: number;
}

const FORMAT = '%REQ(X-CONFORMANCE-ID)% %RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_HOST% %START_TIME% %DURATION%';

function readLine(line: string): LoggedRequest {
  const [, id = '', status, flags = '', upstream = '', start = '', duration] = line.split(' ');
  const startMs = Date.parse(start);
  return { id, status: Number(status), flags, upstream, startMs, endMs: startMs + Number(duration) };
}

const POD_PORT = 8080;
const CLIENT = 'client';

function podOf(name: string, app: string): PodOfCase {
  return {
    name,
    namespace: 'default',
    labels: { app },
    serviceAccount: name,
    ready: true,
    isWell: true,
    deaf: false,
    listens: [],
    loopback: false,
  };
}

/** Requests that all pods have at this moment, and the most of them so far. */
export interface ActiveRequests {
  now: number;
  most: number;
}

/** An application that answers as it is told to. */
export class LoadedPod {
  status = 200;
  delayMs = 0;
  requests = 0;
  private readonly server: Server;

  constructor(
    readonly name: string,
    readonly address: string,
    together: ActiveRequests,
  ) {
    this.server = createServer((_request, response) => {
      this.requests++;
      together.now++;
      together.most = Math.max(together.most, together.now);
      setTimeout(() => {
        // Whoever has the answer may send the next request.
        together.now--;
        response.writeHead(this.status).end();
      }, this.delayMs);
    });
    this.server.keepAliveTimeout = 0;
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.server.listen(POD_PORT, this.address, resolve));
  }

  /** Nobody listens any more, and what was under way is cut. */
  kill(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

export class LoadedMesh {
  readonly pods: readonly LoadedPod[];
  readonly active: ActiveRequests = { now: 0, most: 0 };
  /** Where the sidecar listens for the service `web`. */
  readonly target: { readonly host: string; readonly port: number };
  private readonly authored: ConformanceCase;
  private readonly config: CaseConfig;

  private constructor(
    config: string,
    podCount: number,
    private readonly lease: LoopbackLease,
    private readonly directory: string,
    private readonly pilot: CasePilot,
    private readonly proxy: ConformanceProxy,
  ) {
    const names = Array.from({ length: podCount }, (_, index) => `web-${index}`);
    this.authored = {
      name: 'resilience',
      why: '',
      config,
      mesh: JSON.stringify({ accessLogFormat: `conformance ${FORMAT}\n` }),
      pods: names.map((name) => podOf(name, 'web')),
      clients: [podOf(CLIENT, CLIENT)],
      requests: [],
      certificates: [],
      withoutEnvoy: undefined,
    };
    this.config = readCaseConfig(this.authored);
    this.pods = names.map((name, index) => new LoadedPod(name, `${lease.prefix}.1.${index + 10}`, this.active));
    this.target = { host: `${lease.prefix}.2.1`, port: 80 };
  }

  /** @param config documents with a Service `web` of port 80, whose pods are called `web-0` and so on */
  static async start(config: string, podCount: number): Promise<LoadedMesh> {
    const lease = await leaseLoopbackBlock();
    const directory = mkdtempSync(join(tmpdir(), 'lateen-resilience-'));
    const pilot = await CasePilot.start();
    const authority = await TestAuthority.create();
    const options = { engine: 'lateen', role: 'client', envoyPath: '', controlPort: pilot.port } as const;
    const proxy = await startProxy({ ...options, authority, directory });
    const mesh = new LoadedMesh(config, podCount, lease, directory, pilot, proxy);
    await Promise.all(mesh.pods.map((pod) => pod.listen()));
    mesh.push();
    await mesh.taken();
    return mesh;
  }

  /**
   * Tells the sidecar about the mesh anew, and does not wait.
   *
   * @param absent pods that Pilot does not know of, or knows to be not ready
   * @param timeout of the route, where it changes
   */
  push(absent: ReadonlySet<string> = new Set(), timeout?: string): void {
    const pods = this.authored.pods.map((pod) => ({ ...pod, ready: !absent.has(pod.name) }));
    const objects = this.config.objects.map((object) => {
      if (timeout === undefined || object.kind !== 'VirtualService') return object;
      const http = (object.spec as { http: object[] }).http.map((route) => ({ ...route, timeout }));
      return { ...object, spec: { ...object.spec, http } } as typeof object;
    });
    const addresses = {
      pod: (name: string) => `${this.lease.prefix}.1.${name === CLIENT ? 1 : Number(name.slice(4)) + 10}`,
      service: (_client: string, index: number) => `${this.lease.prefix}.2.${index + 1}`,
    };
    const snapshot = snapshotOf({ ...this.authored, pods }, { ...this.config, objects }, addresses, () => 0);
    this.pilot.push(this.proxy.nodeId, snapshot, this.authored.clients[0]!, true);
  }

  /** Waits until the sidecar has what it was told last. */
  taken(): Promise<void> {
    return this.pilot.waitForTaken(this.proxy.nodeId);
  }

  /** The access log, in the order in which requests ended, once it has so many lines. */
  async log(count: number): Promise<readonly LoggedRequest[]> {
    return waitUntil('the lines of the access log', () => {
      const lines = this.logged();
      return lines.length < count ? undefined : lines;
    });
  }

  /** What there is of it now. */
  logged(): readonly LoggedRequest[] {
    const lines = this.proxy.output().split('\n');
    return lines.filter((line) => line.startsWith('conformance ')).map(readLine);
  }

  async stop(): Promise<void> {
    await this.proxy.stop();
    this.pilot.stop();
    for (const pod of this.pods) pod.kill();
    this.lease.release();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
