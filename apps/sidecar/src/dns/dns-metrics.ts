// DNS: what is counted of the application's questions.

import type { PrometheusText } from '../observe/prometheus-text.js';
import type { DnsCapture } from './dns-capture.js';

export function writeDnsMetrics(out: PrometheusText, { counts, forwarder, names }: DnsCapture): void {
  const one = (name: string, type: 'counter' | 'gauge', help: string, value: number): void => {
    out.metric(name, type, help);
    out.sample(name, '', value);
  };
  one('istio_agent_dns_requests_total', 'counter', 'DNS questions of the application.', counts.total);
  one('lateen_dns_local_total', 'counter', 'Of these answered from the table of names.', counts.local);
  one('lateen_dns_malformed_total', 'counter', 'Of these that cannot be read.', counts.malformed);
  const { sent, failed, overflow } = forwarder.counts;
  one('istio_agent_dns_upstream_requests_total', 'counter', 'Questions sent to name servers.', sent);
  one('istio_agent_dns_upstream_failures_total', 'counter', 'Questions that no name server answered.', failed);
  one('lateen_dns_upstream_overflow_total', 'counter', 'Questions refused since too many were on their way.', overflow);
  one('lateen_dns_names', 'gauge', 'Names that are answered from the table.', names ?? 0);
}
