// Analyzers: DestinationRules: hosts and subsets that are not there, servers that are not verified, TLS against what servers want.

import { type ConfigObject, type FieldPath, hostMatches, resolveShortHost } from '@lateen/istio-config';
import type { Report } from '../finding.js';
import { hasLabels, type MeshModel } from '../model/mesh-model.js';
import { mutualTlsMode } from './peer-authentications.js';

type DestinationRule = ConfigObject<'DestinationRule'>;

interface ClientTls {
  readonly mode?: string;
  readonly caCertificates?: string;
  readonly credentialName?: string;
  readonly insecureSkipVerify?: boolean;
}

export function analyzeDestinationRules(model: MeshModel, report: Report): void {
  for (const rule of model.of('DestinationRule')) {
    checkHost(model, rule, report);
    checkSubsets(model, rule, report);
    checkVerification(rule, report);
    checkMutualTls(model, rule, report);
    checkExport(model, rule, report);
  }
  checkCompetition(model, report);
}

function checkHost(model: MeshModel, rule: DestinationRule, report: Report): void {
  const { spec, metadata } = rule;
  if (!model.knowsServices || model.hostsNamed(spec.host, metadata.namespace).length > 0) return;
  report(
    'IST0174',
    rule,
    ['spec', 'host'],
    `no host ${resolveShortHost(spec.host, metadata.namespace)} is known, so that the rule has no effect; correct the name, or add a Service or ServiceEntry`,
  );
}

function checkSubsets(model: MeshModel, rule: DestinationRule, report: Report): void {
  const { spec, metadata } = rule;
  const services = model
    .hostsNamed(spec.host, metadata.namespace)
    .filter(({ object, selector }) => 'raw' in object && selector !== undefined);
  if (services.length === 0 || !model.knowsWorkloads) return;
  const workloads = services.flatMap((service) => model.workloadsOf(service));
  for (const [index, { name, labels }] of (spec.subsets ?? []).entries()) {
    if (workloads.some((workload) => hasLabels(workload.labels, labels))) continue;
    const said = Object.entries(labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(', ');
    report(
      'IST0173',
      rule,
      ['spec', 'subsets', index],
      `the subset ${name} (${said}) has no pod of ${spec.host}: requests there are answered 503 UH; correct the labels, or deploy it`,
    );
  }
}

function checkVerification(rule: DestinationRule, report: Report): void {
  const { spec } = rule;
  const isUnverified = (tls: ClientTls | undefined) =>
    tls !== undefined &&
    (tls.mode === 'SIMPLE' || tls.mode === 'MUTUAL') &&
    tls.caCertificates === undefined &&
    tls.credentialName === undefined &&
    tls.insecureSkipVerify !== true;
  const policies: [typeof spec.trafficPolicy, FieldPath][] = [
    [spec.trafficPolicy, ['spec', 'trafficPolicy']],
    ...(spec.subsets ?? []).map(({ trafficPolicy }, index): [typeof spec.trafficPolicy, FieldPath] => [
      trafficPolicy,
      ['spec', 'subsets', index, 'trafficPolicy'],
    ]),
  ];
  for (const [policy, path] of policies) {
    if (isUnverified(policy?.tls)) {
      report(
        'IST0128',
        rule,
        [...path, 'tls'],
        `mode ${policy?.tls?.mode} without caCertificates: it is left to the system's roots who ${spec.host} is; set caCertificates or credentialName`,
      );
    }
    for (const [index, { tls, port }] of (policy?.portLevelSettings ?? []).entries()) {
      if (!isUnverified(tls)) continue;
      report(
        'IST0129',
        rule,
        [...path, 'portLevelSettings', index, 'tls'],
        `mode ${tls?.mode} for port ${port?.number} without caCertificates: it is left to the system's roots who ${spec.host} is; set caCertificates or credentialName`,
      );
    }
  }
}

/** Callers told to speak plain text to servers that take mutual TLS only, and the reverse. */
function checkMutualTls(model: MeshModel, rule: DestinationRule, report: Report): void {
  const mode = rule.spec.trafficPolicy?.tls?.mode;
  if (mode === undefined) return;
  const services = model.hostsNamed(rule.spec.host, rule.metadata.namespace).filter(({ object }) => 'raw' in object);
  for (const service of services) {
    for (const workload of model.workloadsOf(service)) {
      const { mode: wanted, policy } = mutualTlsMode(model, workload);
      const name = `${workload.namespace}/${workload.object.metadata.name}`;
      if (wanted === 'STRICT' && mode !== 'ISTIO_MUTUAL') {
        report(
          'LAT0001',
          rule,
          ['spec', 'trafficPolicy', 'tls', 'mode'],
          `mode ${mode}, but PeerAuthentication ${policy} makes ${name} take mutual TLS only: every call fails with 503; leave tls out, or set ISTIO_MUTUAL`,
        );
        return;
      }
      if (wanted === 'DISABLE' && mode === 'ISTIO_MUTUAL') {
        report(
          'LAT0001',
          rule,
          ['spec', 'trafficPolicy', 'tls', 'mode'],
          `mode ISTIO_MUTUAL, but PeerAuthentication ${policy} makes ${name} take plain text only: every call fails with 503; leave tls out`,
        );
        return;
      }
    }
  }
}

/** A service that callers do not see makes the rule say nothing to them. */
function checkExport(model: MeshModel, rule: DestinationRule, report: Report): void {
  const { namespace } = rule.metadata;
  const known = model.hostsNamed(rule.spec.host, namespace);
  const hidden = known.filter(
    ({ exportTo, namespace: own }) => own !== namespace && !exportTo.includes('*') && !exportTo.includes(namespace),
  );
  if (known.length === 0 || hidden.length < known.length) return;
  report(
    'LAT0011',
    rule,
    ['spec', 'host'],
    `${hidden[0]!.host} is not exported to ${namespace} (exportTo: ${hidden[0]!.exportTo.join(', ')}), so that the rule has no effect; put the rule into ${hidden[0]!.namespace}, or export the service`,
  );
}

/** Several for one host and the same callers: what each adds depends on which is older. */
function checkCompetition(model: MeshModel, report: Report): void {
  const first = new Map<string, DestinationRule>();
  for (const rule of model.of('DestinationRule')) {
    const { spec, metadata } = rule;
    const key = `${metadata.namespace} ${resolveShortHost(spec.host, metadata.namespace)} ${JSON.stringify(spec.workloadSelector?.matchLabels ?? {})}`;
    const earlier = first.get(key);
    if (earlier === undefined) first.set(key, rule);
    else if (earlier.spec.trafficPolicy !== undefined && spec.trafficPolicy !== undefined) {
      report(
        'LAT0013',
        rule,
        ['spec', 'trafficPolicy'],
        `DestinationRule ${earlier.metadata.namespace}/${earlier.metadata.name} has a trafficPolicy for the same host, and only the oldest one's counts; join them`,
      );
    }
  }
}

/** Whether a rule is for a host. */
export function isForHost(rule: DestinationRule, full: string): boolean {
  return hostMatches(resolveShortHost(rule.spec.host, rule.metadata.namespace), full);
}
