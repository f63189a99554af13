// Analyzers: resources that select workloads: those that select none, and those of which only one can hold.

import type { ConfigObject, FieldPath, Labels } from '@lateen/istio-config';
import { hostMatches, resolveShortHost, splitNamespacedHost } from '@lateen/istio-config';
import type { Report } from '../finding.js';
import { hasLabels, type MeshModel } from '../model/mesh-model.js';

interface Selecting {
  readonly object: ConfigObject;
  readonly labels: Labels | undefined;
  readonly path: FieldPath;
}

export function analyzeSelectors(model: MeshModel, report: Report): void {
  checkMatches(model, report);
  checkExclusive(model, 'Sidecar', ['IST0110', 'IST0111'], report);
  checkExclusive(model, 'Telemetry', ['IST0159', 'IST0160'], report);
  checkEgress(model, report);
}

function selecting(model: MeshModel): Selecting[] {
  const byMatchLabels = (
    ['PeerAuthentication', 'RequestAuthentication', 'AuthorizationPolicy', 'Telemetry'] as const
  ).flatMap((kind) =>
    model
      .of(kind)
      .map((object): Selecting => ({ object, labels: object.spec.selector?.matchLabels, path: ['spec', 'selector'] })),
  );
  const sidecars = model.of('Sidecar').map(
    (object): Selecting => ({
      object,
      labels: object.spec.workloadSelector?.labels,
      path: ['spec', 'workloadSelector'],
    }),
  );
  return [...byMatchLabels, ...sidecars];
}

function checkMatches(model: MeshModel, report: Report): void {
  if (!model.knowsWorkloads) return;
  for (const { object, labels, path } of selecting(model)) {
    if (Object.keys(labels ?? {}).length === 0) continue;
    // The profiles' own gateway is there wherever Lateen is installed.
    if (labels?.istio === 'ingressgateway' || labels?.app === 'istio-ingressgateway') continue;
    const { namespace } = object.metadata;
    if (model.workloadsSelected(namespace, labels).length > 0) continue;
    const elsewhere = model.workloads.find((workload) => hasLabels(workload.labels, labels))?.namespace;
    const said = Object.entries(labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(', ');
    const advice =
      elsewhere === undefined
        ? 'correct the labels, or deploy them'
        : `there are in ${elsewhere}: put it into that namespace`;
    report(
      'IST0127',
      object,
      path,
      `no pod of ${namespace} has the labels ${said}, so that it has no effect; ${advice}`,
    );
  }
}

/** Of a kind one without a selector counts in a namespace, and one for a workload. */
function checkExclusive(
  model: MeshModel,
  kind: 'Sidecar' | 'Telemetry',
  [ofWorkload, ofNamespace]: readonly ['IST0110' | 'IST0159', 'IST0111' | 'IST0160'],
  report: Report,
): void {
  const all = selecting(model).filter(({ object }) => object.kind === kind);
  const namespaces = new Set(all.map(({ object }) => object.metadata.namespace));
  for (const namespace of namespaces) {
    const own = all.filter(({ object }) => object.metadata.namespace === namespace);
    const general = own.filter(({ labels }) => Object.keys(labels ?? {}).length === 0);
    if (general.length > 1) {
      const names = general.map(({ object }) => object.metadata.name).join(', ');
      for (const { object } of general)
        report(
          ofNamespace,
          object,
          ['metadata', 'name'],
          `${names} of ${namespace} have no selector, and only the oldest counts; keep one, or give selectors to the others`,
        );
    }
    const specific = own.filter(({ labels }) => Object.keys(labels ?? {}).length > 0);
    for (const workload of model.workloads.filter((each) => each.namespace === namespace)) {
      const both = specific.filter(({ labels }) => hasLabels(workload.labels, labels));
      if (both.length < 2) continue;
      const names = both.map(({ object }) => object.metadata.name).join(', ');
      for (const { object, path } of both)
        report(
          ofWorkload,
          object,
          path,
          `${names} select ${workload.object.kind} ${workload.object.metadata.name}, and only the oldest counts; let one select it`,
        );
    }
  }
}

/** Hosts of a Sidecar's egress that nobody has: the workload cannot call them, whatever was meant. */
function checkEgress(model: MeshModel, report: Report): void {
  if (!model.knowsServices) return;
  for (const sidecar of model.of('Sidecar')) {
    for (const [index, { hosts = [] }] of (sidecar.spec.egress ?? []).entries()) {
      for (const [at, text] of hosts.entries()) {
        const { namespace = '*', host } = splitNamespacedHost(text);
        // What any namespace may have one day may be meant so.
        if (host === '*' || namespace === '~' || namespace === '*') continue;
        const own = sidecar.metadata.namespace;
        const wanted = namespace === '.' ? own : namespace;
        const known = model.hosts.some(
          (each) =>
            each.namespace === wanted &&
            (hostMatches(host, each.host) || hostMatches(resolveShortHost(host, wanted), each.host)),
        );
        if (!known)
          report(
            'IST0101',
            sidecar,
            ['spec', 'egress', index, 'hosts', at],
            `no host is ${text}; correct the name, or add a Service or ServiceEntry`,
          );
      }
    }
  }
}
