// Doctor: facts → the answers to the four questions that users ask: not injected? routing without effect? mutual TLS fails? slow?

import type { Code, Finding } from '@lateen/analysis';
import type { DoctorFacts, PodFacts, RequestTimes } from './facts.js';

export const QUESTIONS = ['injection', 'routing', 'mtls', 'latency'] as const;
export type Question = (typeof QUESTIONS)[number];

/** One cause, and what to do about it. */
export interface Cause {
  readonly cause: string;
  readonly remedy: string;
}

export interface Answer {
  readonly question: Question;
  /** Empty: nothing is wrong as far as can be seen. */
  readonly causes: readonly Cause[];
  /** What is well, in a line. */
  readonly well: string;
}

export function diagnose(facts: DoctorFacts, questions: readonly Question[] = QUESTIONS): readonly Answer[] {
  const ask: Record<Question, (facts: DoctorFacts) => Omit<Answer, 'question'>> = {
    injection,
    routing,
    mtls: mutualTls,
    latency,
  };
  return questions.map((question) => ({ question, ...ask[question](facts) }));
}

const DAY_MS = 86_400_000;

function injection({ pods, findings }: DoctorFacts): Omit<Answer, 'question'> {
  const causes: Cause[] = ofFindings(findings, [
    'IST0102',
    'IST0123',
    'IST0139',
    'IST0144',
    'IST0146',
    'IST0147',
    'IST0158',
    'LAT0010',
    'LAT0016',
    'IST0125',
    'IST0107',
  ]);
  if (pods.length === 0)
    causes.push({
      cause: 'it has no pod',
      remedy:
        'kubectl get pods, and kubectl describe replicaset say why none is made: a webhook that is away refuses them',
    });
  for (const pod of pods) {
    const name = `pod ${pod.namespace}/${pod.name}`;
    if (pod.injection !== undefined && !pod.injection.injected && !pod.hasProxy) {
      causes.push({ cause: `${name} gets no proxy: ${pod.injection.reason}`, remedy: remedyOf(pod) });
    }
    if (pod.injection?.injected === true && !pod.hasProxy) {
      causes.push({
        cause: `${name} has no proxy, though it would get one now: it is older than the labels, or the webhook failed when it was made`,
        remedy: `kubectl rollout restart deployment -n ${pod.namespace}`,
      });
    }
    for (const reason of pod.waiting) causes.push({ cause: `${name}: ${reason}`, remedy: waitingRemedy(reason, pod) });
    if (pod.hasProxy && !pod.ready && pod.waiting.length === 0) {
      causes.push({
        cause: `${name} is not ready`,
        remedy: `kubectl logs -n ${pod.namespace} ${pod.name} -c istio-proxy tells whether the proxy has its configuration and certificate`,
      });
    }
  }
  return { causes, well: `${pods.filter(({ hasProxy }) => hasProxy).length} of ${pods.length} pods have a proxy` };
}

function remedyOf({ injection, namespace }: PodFacts): string {
  switch (injection?.code) {
    case 'host-network':
      return 'a pod on the network of its node cannot be intercepted; take hostNetwork away';
    case 'pod-label':
    case 'pod-annotation':
      return 'take the label sidecar.istio.io/inject=false away, and make the pod again';
    case 'ignored-namespace':
      return 'namespaces of the cluster itself are never injected; move it';
    default:
      return `kubectl label namespace ${namespace} istio-injection=enabled --overwrite, then kubectl rollout restart deployment -n ${namespace}`;
  }
}

function waitingRemedy(reason: string, { name, namespace }: PodFacts): string {
  if (/istio-init|istio-validation/.test(reason))
    return `kubectl logs -n ${namespace} ${name} -c istio-init: it needs NET_ADMIN and NET_RAW (or the CNI plugin where no pod may have them)`;
  if (/ImagePull|ErrImage/.test(reason))
    return 'the image is not there: see --set hub and --set tag of the installation';
  return `kubectl logs -n ${namespace} ${name} --previous says how it ended`;
}

const ROUTING_CODES: readonly Code[] = [
  'IST0101',
  'IST0106',
  'IST0109',
  'IST0110',
  'IST0111',
  'IST0112',
  'IST0116',
  'IST0118',
  'IST0130',
  'IST0131',
  'IST0132',
  'IST0134',
  'IST0137',
  'IST0138',
  'IST0140',
  'IST0145',
  'IST0149',
  'IST0150',
  'IST0161',
  'IST0162',
  'IST0171',
  'IST0173',
  'IST0174',
  'LAT0003',
  'LAT0009',
  'LAT0011',
  'LAT0012',
  'LAT0013',
];

function routing({ pods, findings }: DoctorFacts): Omit<Answer, 'question'> {
  const causes = ofFindings(findings, ROUTING_CODES);
  for (const pod of pods) {
    if (!pod.hasProxy) {
      causes.push({
        cause: `pod ${pod.namespace}/${pod.name} has no proxy, and routes are decided by the caller's proxy`,
        remedy: 'see the question of injection',
      });
    }
    for (const { type, status, error } of pod.proxy ?? []) {
      if (status === 'SYNCED' || status === 'NOT SENT') continue;
      const cause =
        status === 'NACK'
          ? `the proxy of ${pod.name} refuses ${type}: ${error ?? 'it does not say why'}; it goes on with what it had`
          : `the proxy of ${pod.name} has not taken ${type} yet (${status})`;
      causes.push({
        cause,
        remedy:
          status === 'NACK'
            ? 'mend the resource that the error names; lateenctl proxy-status shows it'
            : `lateenctl proxy-status ${pod.name}; kubectl logs -c istio-proxy tells whether it is overloaded`,
      });
    }
    if (pod.proxy !== undefined && pod.proxy.length === 0 && pod.hasProxy) {
      causes.push({
        cause: `the proxy of ${pod.name} is not connected to Pilot: it goes on with what it had`,
        remedy: 'kubectl -n istio-system get pods -l app=pilot; kubectl logs -c istio-proxy says what keeps it',
      });
    }
  }
  return { causes, well: 'its routes refer to what is there, and its proxies have taken them' };
}

function mutualTls({ pods, findings, nowMs }: DoctorFacts): Omit<Answer, 'question'> {
  const causes = ofFindings(findings, ['IST0128', 'IST0129', 'LAT0001', 'LAT0002', 'LAT0014', 'LAT0015']);
  for (const pod of pods) {
    for (const { host, status, server, client, authnPolicy, destinationRule } of pod.tls ?? []) {
      if (status !== 'CONFLICT') continue;
      const by = [
        authnPolicy && `PeerAuthentication ${authnPolicy}`,
        destinationRule && `DestinationRule ${destinationRule}`,
      ]
        .filter(Boolean)
        .join(' and ');
      causes.push({
        cause: `calls of ${pod.name} to ${host} fail: it sends ${client}, and ${server.join(', ')} is taken${by === '' ? '' : ` (${by})`}`,
        remedy: destinationRule
          ? `take trafficPolicy.tls out of DestinationRule ${destinationRule}, or set ISTIO_MUTUAL`
          : 'inject the caller, or let the server be PERMISSIVE',
      });
    }
    if (pod.certificateEndsMs !== undefined && pod.certificateEndsMs <= nowMs) {
      causes.push({
        cause: `the certificate of ${pod.name} has ended ${new Date(pod.certificateEndsMs).toISOString()}: Citadel did not renew it`,
        remedy:
          'kubectl -n istio-system logs deployment/citadel, and lateenctl check; the clocks of the nodes must agree',
      });
    } else if (pod.certificateEndsMs !== undefined && pod.certificateEndsMs > nowMs + 400 * DAY_MS) {
      causes.push({
        cause: `the certificate of ${pod.name} lasts until ${new Date(pod.certificateEndsMs).toISOString()}, longer than Citadel issues: the clock of its node may be wrong`,
        remedy: 'set the clocks (NTP)',
      });
    }
    if (!pod.hasProxy)
      causes.push({
        cause: `pod ${pod.namespace}/${pod.name} has no proxy and so no certificate: servers that are STRICT refuse it`,
        remedy: 'see the question of injection',
      });
  }
  return { causes, well: 'callers send what servers take, and certificates hold' };
}

/** Above this share of requests something is worth a word. */
const NOTABLE = 0.01;

function latency({ pods, findings }: DoctorFacts): Omit<Answer, 'question'> {
  const causes = ofFindings(findings, ['LAT0007', 'LAT0008']);
  for (const { name, latency: facts } of pods) {
    if (facts === undefined) continue;
    const { served, called, counters } = facts;
    const slowest = [...called].sort((a, b) => b.meanMs * b.requests - a.meanMs * a.requests)[0];
    if (served !== undefined && served.p99Ms >= 500) {
      const waits = slowest !== undefined && slowest.meanMs * slowest.requests > 0.5 * served.meanMs * served.requests;
      causes.push(
        waits
          ? {
              cause: `${name} answers in ${times(served)}, most of which it waits for ${slowest.service} (${times(slowest)})`,
              remedy: `look at ${slowest.service}: lateenctl doctor service ${slowest.service.split('.')[0]}`,
            }
          : {
              cause: `the application of ${name} takes its time itself: ${times(served)}, of which calls to others are the lesser part`,
              remedy: 'profile it; more replicas help where it is busy (kubectl top pod)',
            },
      );
    }
    for (const { cluster, name: counter, value } of counters) {
      const requests =
        called.find(({ service }) => cluster.includes(service))?.requests ?? Math.max(1, served?.requests ?? 1);
      const known = COUNTERS[counter];
      if (known !== undefined && value / requests >= NOTABLE)
        causes.push({ cause: `${name}: ${known.what} (${value} at ${cluster})`, remedy: known.remedy });
    }
  }
  const measured = pods.filter(({ latency: facts }) => facts !== undefined).length;
  return {
    causes,
    well:
      measured === 0
        ? 'nothing was measured: no proxy could be asked'
        : 'no proxy has slow answers, retries or refusals worth a word',
  };
}

const COUNTERS: Readonly<Record<string, { readonly what: string; readonly remedy: string }>> = {
  upstream_rq_retry: {
    what: 'requests are sent again',
    remedy: 'see why the first try fails: access log, flags UF, URX, UC',
  },
  upstream_rq_pending_overflow: {
    what: 'requests are refused since too many wait (UO)',
    remedy: 'raise connectionPool.http.http1MaxPendingRequests of the DestinationRule, or add replicas',
  },
  upstream_cx_overflow: {
    what: 'connections are refused since there are too many',
    remedy: 'raise connectionPool.tcp.maxConnections of the DestinationRule, or add replicas',
  },
  upstream_cx_connect_fail: {
    what: 'connections fail',
    remedy: 'endpoints that are not there any more: readiness probes, preStop hooks; lateenctl proxy-config endpoints',
  },
  upstream_rq_timeout: {
    what: 'requests run into their time limit (UT)',
    remedy: 'raise timeout of the VirtualService, or make the server faster',
  },
  ejections_active: {
    what: 'endpoints are ejected (outlier detection)',
    remedy: 'see what they answer: lateenctl proxy-config endpoints; outlierDetection of the DestinationRule',
  },
};

function times({ requests, meanMs, p99Ms }: RequestTimes): string {
  return `${Math.round(meanMs)} ms on average, 99 of 100 within ${Math.round(p99Ms)} ms, ${requests} requests`;
}

/** Findings as causes: the text before the advice is the cause, the advice the remedy. */
function ofFindings(findings: readonly Finding[], codes: readonly Code[]): Cause[] {
  return findings
    .filter(({ code }) => codes.includes(code))
    .map(({ kind, namespace, resource, code, path, message }) => {
      const [what = message, ...advice] = message.split('; ');
      const object = namespace === '' ? `${kind} ${resource}` : `${kind} ${namespace}/${resource}`;
      return {
        cause: `${object}${path === '' ? '' : ` ${path}`}: ${what} [${code}]`,
        remedy: advice.join('; ') || 'see lateenctl analyze',
      };
    });
}
