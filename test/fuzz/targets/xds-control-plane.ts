// Fuzzing, xDS: a control plane that serves one changed resource after another, beside a base that stays.

import type { Any } from '@bufbuild/protobuf/wkt';
import { TYPE_URL } from '@lateen/xds-proto';
import { ENVOY_SERVED_TYPES } from '@lateen/xds-stream';
import { type ControlPlane, type ProxyAnswer, startControlPlane } from '../../harness/control-plane.js';

/** `undefined` as error is an ACK. */
export interface Verdict {
  readonly error: string | undefined;
}

export type Named = readonly (readonly [string, Any])[];

export class FuzzControlPlane {
  #served: ControlPlane | undefined;
  #version = 0;
  #waiting:
    | { readonly typeUrl: string; readonly version: string; readonly settle: (verdict: Verdict) => void }
    | undefined;

  async start(): Promise<number> {
    this.#served = await startControlPlane({
      // Without what follows from a resource's content: bytes that do not decode are served as they are.
      types: ENVOY_SERVED_TYPES.map(({ refreshes: _, ...type }) => type),
      onAnswer: (answer) => this.#answered(answer),
    });
    return this.#served.port;
  }

  #answered({ typeUrl, version, error }: ProxyAnswer): void {
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
    const served = (named: Named) => new Map(named.map(([key, value]) => [key, { version: 'base', any: value }]));
    const resources = new Map<string, ReturnType<typeof served>>([
      [TYPE_URL.cluster, served(base.clusters)],
      [TYPE_URL.listener, served(base.listeners)],
      [TYPE_URL.route, served([])],
      [TYPE_URL.endpoint, served([])],
    ]);
    resources.get(any.typeUrl)?.set(name, { version, any });
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle(undefined), timeoutMs);
      const settle = (verdict: Verdict | undefined) => {
        clearTimeout(timer);
        this.#waiting = undefined;
        resolve(verdict);
      };
      this.#waiting = { typeUrl: any.typeUrl, version, settle };
      this.#served?.publish({ version, resources });
    });
  }

  stop(): void {
    this.#served?.stop();
  }
}
