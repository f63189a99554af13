// Test harness: a control plane in this process that serves what a test says, in plaintext, and reports what became of it.

import { Server, ServerCredentials } from '@grpc/grpc-js';
import {
  type AdsTypeReport,
  createAdsService,
  ENVOY_SERVED_TYPES,
  type ServedSnapshot,
  type ServedType,
} from '@lateen/xds-stream';

export interface ControlPlane {
  readonly port: number;
  /** Refusals so far, as the proxy words them. */
  readonly nacks: string[];
  /** The same, with the type that was refused. */
  readonly refusals: { readonly typeUrl: string; readonly error: string }[];
  /** Versions that were acknowledged, of any type. */
  readonly acknowledged: string[];
  publish(snapshot: ServedSnapshot): void;
  /** What the connected proxy was sent and has answered; empty while none is connected. */
  types(): readonly AdsTypeReport[];
  stop(): void;
}

/** What a proxy said to a response; `error` is that of a refusal. */
export interface ProxyAnswer {
  readonly typeUrl: string;
  readonly version: string;
  readonly error?: string;
}

export interface ControlPlaneOptions {
  /** How each type is served; Envoy's unless given. */
  readonly types?: readonly ServedType[];
  readonly onAnswer?: (answer: ProxyAnswer) => void;
  /** Path of the Unix socket to serve at, in place of a port; `port` is 0 then. */
  readonly socket?: string;
}

/** Serves one proxy on a free port of loopback. */
export async function startControlPlane({ types, onAnswer, socket }: ControlPlaneOptions = {}): Promise<ControlPlane> {
  let snapshot: ServedSnapshot | undefined;
  const subscribers = new Set<() => void>();
  const nacks: string[] = [];
  const refusals: ControlPlane['refusals'] = [];
  const acknowledged: string[] = [];
  const ads = createAdsService({
    types: types ?? ENVOY_SERVED_TYPES,
    authorize: () => undefined,
    events: {
      onNack: ({ typeUrl, version, error }) => {
        nacks.push(error);
        refusals.push({ typeUrl, error });
        onAnswer?.({ typeUrl, version, error });
      },
      onAck: ({ typeUrl, version }) => {
        acknowledged.push(version);
        onAnswer?.({ typeUrl, version });
      },
    },
    removalGraceMs: 1,
    source: {
      open: (_client, onChange) => {
        subscribers.add(onChange);
        return { current: () => snapshot, close: () => subscribers.delete(onChange) };
      },
    },
  });
  const server = new Server();
  server.addService(ads.definition, ads.implementation);
  const port = await new Promise<number>((resolve, reject) => {
    const address = socket === undefined ? '127.0.0.1:0' : `unix:${socket}`;
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(socket === undefined ? bound : 0) : reject(error),
    );
  });
  return {
    port,
    nacks,
    refusals,
    acknowledged,
    publish: (next) => {
      snapshot = next;
      for (const notify of subscribers) notify();
    },
    types: () => ads.clients().at(-1)?.types ?? [],
    stop: () => {
      ads.close();
      server.forceShutdown();
    },
  };
}
