// Doctor: which findings of a mesh concern a pod or a service.

import type { AnalysisInput, Finding, RawObject } from '@lateen/analysis';
import { type ConfigObject, fullGatewayName, hostMatches, resolveShortHost } from '@lateen/istio-config';

export interface Subject {
  readonly namespace: string;
  /** Names of the Services that it is, or that its pods answer for. */
  readonly services: readonly string[];
  /** Labels of its pods. */
  readonly labels: readonly Readonly<Record<string, string>>[];
  readonly pods: readonly string[];
}

/** Findings of objects that say something of the subject: its own, routes to it, policies for it. */
export function relatedFindings(
  findings: readonly Finding[],
  input: AnalysisInput,
  subject: Subject,
): readonly Finding[] {
  const related = relatedKeys(input, subject);
  return findings.filter(({ kind, namespace, resource }) => related.has(`${kind}/${namespace}/${resource}`));
}

function relatedKeys({ objects, raw }: AnalysisInput, subject: Subject): ReadonlySet<string> {
  const hosts = subject.services.map((name) => `${name}.${subject.namespace}.svc.cluster.local`);
  const isHost = (host: string, namespace: string) => {
    const full = resolveShortHost(host, namespace);
    // A name that nobody has is probably meant for the one that is nearest: those of the same namespace count.
    return (
      hosts.some((each) => hostMatches(full, each)) ||
      (namespace === subject.namespace && !host.includes('.') && hosts.some((each) => isNear(full, each)))
    );
  };
  const keys = new Set<string>([`Namespace//${subject.namespace}`]);
  const keyOf = ({ kind, metadata }: ConfigObject | RawObject) =>
    `${kind}/${metadata.namespace ?? ''}/${metadata.name}`;
  for (const object of objects) if (concerns(object, subject, isHost)) keys.add(keyOf(object));
  for (const object of raw) if (isOwn(object, subject)) keys.add(keyOf(object));
  for (const object of objects) {
    if (object.kind !== 'VirtualService' || !keys.has(keyOf(object))) continue;
    for (const gateway of object.spec.gateways ?? [])
      keys.add(`Gateway/${fullGatewayName(gateway, object.metadata.namespace)}`);
  }
  return keys;
}

function concerns(
  object: ConfigObject,
  subject: Subject,
  isHost: (host: string, namespace: string) => boolean,
): boolean {
  const { namespace } = object.metadata;
  switch (object.kind) {
    case 'VirtualService': {
      const { hosts = [], http = [], tcp = [], tls = [] } = object.spec;
      const rules = [...http, ...tcp, ...tls] as readonly {
        readonly route?: readonly { readonly destination?: { readonly host?: string } }[];
      }[];
      const destinations = rules.flatMap(({ route = [] }) =>
        route.flatMap(({ destination }) => destination?.host ?? []),
      );
      return [...hosts, ...destinations].some((host) => isHost(host, namespace));
    }
    case 'DestinationRule':
      return isHost(object.spec.host, namespace);
    case 'Sidecar':
      return namespace === subject.namespace || namespace === 'istio-system';
    case 'PeerAuthentication':
    case 'RequestAuthentication':
    case 'AuthorizationPolicy':
    case 'Telemetry':
      return namespace === subject.namespace || namespace === 'istio-system';
    default:
      return false;
  }
}

function isOwn({ kind, metadata, spec }: RawObject, { namespace, services, labels, pods }: Subject): boolean {
  if (kind === 'MutatingWebhookConfiguration') return true;
  if (metadata.namespace !== namespace) return false;
  if (kind === 'Service') return services.includes(metadata.name);
  if (kind === 'Pod') return pods.includes(metadata.name);
  const template = (spec as { template?: { metadata?: { labels?: Record<string, string> } } } | undefined)?.template
    ?.metadata?.labels;
  return (
    template !== undefined && labels.some((own) => Object.entries(template).every(([key, value]) => own[key] === value))
  );
}

/** One edit apart, or the same letters in another order. */
function isNear(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false;
  let start = 0;
  while (start < a.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return a.length - start - end <= 2 && b.length - start - end <= 2;
}
