// The agent's metrics; what Istio's agent counts as well has Istio's name.

import { type CertificateClient, readCertificates } from '@lateen/identity';
import { AGENT_METRIC } from '@lateen/telemetry';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { OWN_CERTIFICATE, OWN_ROOTS } from './secrets/secret-source.js';

export interface AgentMetrics {
  readonly registry: Registry;
  readonly streams: Gauge;
  readonly responses: Counter;
  readonly rejections: Counter;
  readonly fileFailures: Counter;
}

export function createAgentMetrics(identity: CertificateClient): AgentMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  new Gauge({
    name: AGENT_METRIC.certificateSecondsLeft,
    help: 'Seconds until the certificate, or the first of the trust roots, expires',
    labelNames: ['resource_name'],
    registers,
    collect() {
      const { current } = identity;
      if (current === undefined) return;
      const left = (at: number) => Math.floor((at - Date.now()) / 1000);
      const roots = readCertificates(current.rootsPem).map(({ validTo }) => new Date(validTo).getTime());
      this.set({ resource_name: OWN_CERTIFICATE }, left(current.notAfter.getTime()));
      this.set({ resource_name: OWN_ROOTS }, left(Math.min(...roots)));
    },
  });
  new Counter({
    name: AGENT_METRIC.certificates,
    help: 'Certificates received from Citadel',
    registers,
    collect() {
      this.reset();
      this.inc(identity.status.renewals);
    },
  });
  return {
    registry,
    streams: new Gauge({ name: AGENT_METRIC.streams, help: 'Open streams of SDS', registers }),
    responses: counter(AGENT_METRIC.responses, 'Responses sent over SDS'),
    rejections: counter(AGENT_METRIC.rejections, 'Responses that a proxy rejected (NACK)'),
    fileFailures: counter(AGENT_METRIC.fileFailures, 'Times that certificate files were missing or could not be used'),
  };
}
