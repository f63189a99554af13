// Workload health: reads the probe that the node's metadata asks for, where Istio's agents have it: PROXY_CONFIG.readinessProbe.

import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { StartError } from '../start-error.js';

/** What is asked; exactly one of Kubernetes's kinds. */
export type ProbeAction =
  | {
      readonly kind: 'httpGet';
      readonly scheme: 'http' | 'https';
      readonly host: string;
      readonly port: number;
      readonly path: string;
      readonly headers: readonly (readonly [name: string, value: string])[];
    }
  | { readonly kind: 'tcpSocket'; readonly host: string; readonly port: number }
  | { readonly kind: 'exec'; readonly command: readonly string[] }
  | { readonly kind: 'grpc'; readonly host: string; readonly port: number; readonly service: string };

export interface ReadinessProbe {
  readonly action: ProbeAction;
  readonly initialDelayMs: number;
  readonly timeoutMs: number;
  readonly periodMs: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

const PLACE = 'node.metadata.PROXY_CONFIG.readinessProbe';
/** Where the application listens: at the workload's address the proxy itself would answer. */
const APPLICATION_HOST = '127.0.0.1';
const KINDS = ['httpGet', 'tcpSocket', 'exec', 'grpc'] as const;

/** A message of the probe, with its place for complaints. */
class Message {
  readonly #read = new Set<string>();

  constructor(
    private readonly fields: JsonObject,
    private readonly place: string,
  ) {}

  wrong(name: string, wanted: string): StartError {
    return new StartError(`${this.place}.${name} must be ${wanted}, not ${JSON.stringify(this.fields[name] ?? null)}`);
  }

  value(name: string): JsonValue | undefined {
    this.#read.add(name);
    const value = this.fields[name];
    return value === null ? undefined : value;
  }

  text(name: string): string {
    const value = this.value(name) ?? '';
    if (typeof value !== 'string') throw this.wrong(name, 'a text');
    return value;
  }

  /** A whole number; 0 and absent are the default, as in Kubernetes. */
  count(name: string, fallback: number): number {
    const value = this.value(name) ?? 0;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw this.wrong(name, 'a whole number');
    return value === 0 ? fallback : value;
  }

  port(): number {
    const value = this.value('port');
    const isPort = typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 65_535;
    if (!isPort) throw this.wrong('port', 'a port, from 1 to 65535');
    return value;
  }

  below(name: string): Message | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.wrong(name, 'an object');
    return new Message(value, `${this.place}.${name}`);
  }

  list(name: string): readonly JsonValue[] {
    const value = this.value(name) ?? [];
    if (!Array.isArray(value)) throw this.wrong(name, 'a list');
    return value;
  }

  /** @throws StartError where there is a field that nobody asked for */
  done(): void {
    for (const name of Object.keys(this.fields)) {
      if (!this.#read.has(name)) throw new StartError(`${this.place}.${name} is not a field of a probe; remove it`);
    }
  }
}

function readHttpGet(message: Message): ProbeAction {
  const scheme = message.text('scheme') || 'HTTP';
  if (scheme !== 'HTTP' && scheme !== 'HTTPS') throw message.wrong('scheme', 'HTTP or HTTPS');
  const path = message.text('path') || '/';
  const headers = message.list('httpHeaders').map((header) => {
    const { name, value = '' } = (header ?? {}) as JsonObject;
    if (typeof name !== 'string' || typeof value !== 'string') {
      throw message.wrong('httpHeaders', 'a list of {name, value}');
    }
    return [name, value] as const;
  });
  return {
    kind: 'httpGet',
    scheme: scheme === 'HTTPS' ? 'https' : 'http',
    host: message.text('host') || APPLICATION_HOST,
    port: message.port(),
    path: path.startsWith('/') ? path : `/${path}`,
    headers,
  };
}

function readAction(kind: (typeof KINDS)[number], message: Message): ProbeAction {
  switch (kind) {
    case 'httpGet':
      return readHttpGet(message);
    case 'tcpSocket':
      return { kind, host: message.text('host') || APPLICATION_HOST, port: message.port() };
    case 'grpc':
      return { kind, host: APPLICATION_HOST, port: message.port(), service: message.text('service') };
    case 'exec': {
      const command = message.list('command');
      if (command.length === 0 || command.some((part) => typeof part !== 'string')) {
        throw message.wrong('command', 'a list of texts');
      }
      return { kind, command: command as string[] };
    }
  }
}

/** A probe of Kubernetes that is asked over the network: what is asked, and how long it may take. @throws StartError */
export function readNetworkProbe(fields: JsonObject, place: string): { action: ProbeAction; timeoutMs: number } {
  const probe = new Message(fields, place);
  const actions = (['httpGet', 'tcpSocket', 'grpc'] as const).flatMap((kind) => {
    const message = probe.below(kind);
    return message === undefined ? [] : [readAction(kind, message)];
  });
  const [action] = actions;
  if (action === undefined || actions.length > 1) {
    throw new StartError(`${place} needs exactly one of httpGet, tcpSocket, grpc`);
  }
  return { action, timeoutMs: probe.count('timeoutSeconds', 1) * 1000 };
}

/** The probe of a node; undefined where it has none. @throws StartError naming the field that is wrong */
export function readReadinessProbe(metadata: JsonObject | undefined): ReadinessProbe | undefined {
  const settings = metadata?.PROXY_CONFIG;
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) return undefined;
  const probe = new Message(settings, 'node.metadata.PROXY_CONFIG').below('readinessProbe');
  if (probe === undefined) return undefined;
  const actions = KINDS.flatMap((kind) => {
    const message = probe.below(kind);
    if (message === undefined) return [];
    const action = readAction(kind, message);
    message.done();
    return [action];
  });
  const [action] = actions;
  if (action === undefined || actions.length > 1) {
    throw new StartError(`${PLACE} needs exactly one of ${KINDS.join(', ')}`);
  }
  const read = {
    action,
    initialDelayMs: probe.count('initialDelaySeconds', 0) * 1000,
    timeoutMs: probe.count('timeoutSeconds', 1) * 1000,
    periodMs: probe.count('periodSeconds', 10) * 1000,
    successThreshold: probe.count('successThreshold', 1),
    failureThreshold: probe.count('failureThreshold', 3),
  };
  probe.done();
  return read;
}
