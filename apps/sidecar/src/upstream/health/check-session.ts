// Health checks: asks one endpoint again and again, one question at a time, and keeps what it has found.

import type { DataPath } from '../../transport/data-path.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import type { DialTarget } from '../connection-owner.js';
import type { Endpoint } from '../endpoint.js';
import { TCP_OFFER, type UpstreamTransport } from '../upstream-transport.js';
import { CheckConnection } from './check-connection.js';
import type { CheckResult, EndpointHealth } from './endpoint-health.js';
import type { HealthSettings } from './health-settings.js';
import { grpcQuestion, httpQuestion } from './questions.js';
import { RequestCheck } from './request-check.js';
import { TcpCheck } from './tcp-check.js';

const TIMER_INTERVAL = 0;
const TIMER_TIMEOUT = 1;

/** Whom a session tells what a check has found; the answer is when to check again. */
export interface CheckJudge {
  onCheckBegun(): void;
  onCheckEnded(session: CheckSession, result: CheckResult): number;
}

export class CheckSession implements TimerOwner {
  private readonly intervalTimer = new Timer(this, TIMER_INTERVAL);
  private readonly timeoutTimer = new Timer(this, TIMER_TIMEOUT);
  /** The one that is under way. */
  private current: { begin(): void; cancel(): void } | null = null;
  private connection: CheckConnection | null = null;
  private target: DialTarget;

  constructor(
    private readonly path: DataPath,
    readonly endpoint: Endpoint,
    readonly health: EndpointHealth,
    private readonly settings: HealthSettings,
    private readonly judge: CheckJudge,
    /** Asked for each check: a configuration may have changed it. */
    private readonly transportOf: (endpoint: Endpoint) => UpstreamTransport,
  ) {
    this.target = endpoint;
  }

  start(delayMs: number): void {
    if (delayMs > 0) this.path.wheel.schedule(this.intervalTimer, delayMs);
    else this.check();
  }

  stop(): void {
    const { wheel } = this.path;
    wheel.cancel(this.intervalTimer);
    wheel.cancel(this.timeoutTimer);
    this.current?.cancel();
    this.current = null;
    this.dropConnection();
  }

  onTimer(kind: number): void {
    this.path.clock.tick();
    if (kind === TIMER_INTERVAL) {
      this.check();
      return;
    }
    this.current?.cancel();
    // What comes late over this connection would be taken for the next answer.
    this.dropConnection();
    const { timeoutMs } = this.settings;
    this.onCheckEnded({ ok: false, kind: 'timeout', retriable: true, reason: `no answer within ${timeoutMs} ms` });
  }

  onCheckEnded(result: CheckResult): void {
    const { wheel } = this.path;
    this.current = null;
    wheel.cancel(this.timeoutTimer);
    if (!this.settings.reuseConnection) this.dropConnection();
    wheel.schedule(this.intervalTimer, this.judge.onCheckEnded(this, result));
  }

  private check(): void {
    this.judge.onCheckBegun();
    this.path.wheel.schedule(this.timeoutTimer, this.settings.timeoutMs);
    const check = this.create();
    this.current = check;
    check.begin();
  }

  private create(): { begin(): void; cancel(): void } {
    const { path, settings, endpoint } = this;
    const transport = this.transportOf(endpoint);
    this.aim();
    const { check, alpn } = settings;
    if (check.kind === 'tcp') {
      const receive = check.receive.map((hex) => Buffer.from(hex, 'hex'));
      const send = Buffer.from(check.send, 'hex');
      return new TcpCheck(path, this.target, transport, { ...TCP_OFFER, always: alpn }, send, receive, this);
    }
    const host = checkedHostname(endpoint) || check.host || endpoint.cluster.name;
    const question = check.kind === 'http' ? httpQuestion(check, host) : grpcQuestion(check, host);
    const http2 = check.kind === 'grpc' || check.http2;
    if (this.connection !== null && this.connection.transport !== transport) this.dropConnection();
    this.connection ??= new CheckConnection(
      path,
      this.target,
      endpoint.cluster,
      transport,
      http2 ? 'http2' : 'http1',
      alpn && { ...TCP_OFFER, always: alpn },
      settings.timeoutMs,
    );
    return new RequestCheck(path, this.connection, question, this);
  }

  /** Where the endpoint's configuration says that it is to be asked. */
  private aim(): void {
    const { endpoint, target } = this;
    const { host, port } = checkedAddress(endpoint);
    if (host === target.address && port === target.port) return;
    this.target =
      host === endpoint.address && port === endpoint.port
        ? endpoint
        : { address: host, port, cluster: endpoint.cluster };
    this.dropConnection();
  }

  private dropConnection(): void {
    const { connection } = this;
    this.connection = null;
    connection?.close();
  }
}

function healthCheckConfig({ config }: Endpoint) {
  return config?.hostIdentifier.case === 'endpoint' ? config.hostIdentifier.value.healthCheckConfig : undefined;
}

function checkedHostname(endpoint: Endpoint): string {
  return healthCheckConfig(endpoint)?.hostname ?? '';
}

function checkedAddress(endpoint: Endpoint): { readonly host: string; readonly port: number } {
  const config = healthCheckConfig(endpoint);
  const address = config?.address?.address;
  if (address?.case === 'socketAddress' && address.value.portSpecifier.case === 'portValue') {
    return { host: address.value.address, port: address.value.portSpecifier.value };
  }
  if (address?.case === 'pipe') return { host: address.value.path, port: 0 };
  return { host: endpoint.address, port: config?.portValue || endpoint.port };
}

/** The control plane says that the endpoint is not to be asked. */
export function isUnchecked(endpoint: Endpoint): boolean {
  return healthCheckConfig(endpoint)?.disableActiveHealthCheck ?? false;
}
