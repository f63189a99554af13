// Fuzzing, xDS: a control plane that serves one changed resource after another, beside a base that stays.

import type { Any } from '@bufbuild/protobuf/wkt';
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { TYPE_URL } from '@lateen/xds-proto';
import { createAdsService, ENVOY_SERVED_TYPES, type ServedSnapshot } from '@lateen/xds-stream';

/** `undefined` as error is an ACK. */
export interface Verdict {
  readonly error: string | undefined;
}

export type Named = readonly (readonly [string, Any])[];

export class FuzzControlPlane {
  #server = new Server();
  #snapshot: ServedSnapshot | undefined;
  #version = 0;
  readonly #watchers = new Set<() => void>();
  #waiting:
    | { readonly typeUrl: string; readonly version: string; readonly settle: (verdict: Verdict) => void }
    | undefined;

  async start(): Promise<number> {
    const ads = createAdsService({
      // Without what follows from a resource's content: bytes that do not decode are served as they are.
      types: ENVOY_SERVED_TYPES.map(({ refreshes: _, ...type }) => type),
      authorize: () => undefined,
      events: {
        onAck: ({ typeUrl, version }) => this.#answered(typeUrl, version, undefined),
        onNack: ({ typeUrl, version, error }) => this.#answered(typeUrl, version, error),
      },
      removalGraceMs: 1,
      source: {
        open: (_client, onChange) => {
          this.#watchers.add(onChange);
          return { current: () => this.#snapshot, close: () => this.#watchers.delete(onChange) };
        },
      },
    });
    this.#server.addService(ads.definition as ServiceDefinition, ads.implementation);
    return new Promise((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }

  #answered(typeUrl: string, version: string, error: string | undefined): void {
    if (this.#waiting?.typeUrl === typeUrl && this.#waiting.version === version) this.#waiting.settle({ error });
  }

  /** Serves the base and this resource in place of the one before; the answer to it, or undefined where none came. */
  serve(
    base: { readonly clusters: Named; readonly listeners: Named },
    name: string,
    any: Any,
    timeoutMs: number,
  ): Promise<Verdict | undefined> {
    const version = String(++this.#version);
    const set = (named: Named) => named.map(([key, value]) => [key, { version: 'base', any: value }] as const);
    const sets = new Map<string, [string, { version: string; any: Any }][]>([
      [TYPE_URL.cluster, [...set(base.clusters)] as [string, { version: string; any: Any }][]],
      [TYPE_URL.listener, [...set(base.listeners)] as [string, { version: string; any: Any }][]],
      [TYPE_URL.route, []],
      [TYPE_URL.endpoint, []],
    ]);
    sets.get(any.typeUrl)?.push([name, { version, any }]);
    this.#snapshot = {
      version,
      resources: new Map([...sets].map(([typeUrl, entries]) => [typeUrl, new Map(entries)])),
    };
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle(undefined), timeoutMs);
      const settle = (verdict: Verdict | undefined) => {
        clearTimeout(timer);
        this.#waiting = undefined;
        resolve(verdict);
      };
      this.#waiting = { typeUrl: any.typeUrl, version, settle };
      for (const notify of this.#watchers) notify();
    });
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}
