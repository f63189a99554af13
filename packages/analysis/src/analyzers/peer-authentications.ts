// Analyzers: PeerAuthentications: which mode holds for a workload, which of them have no effect, who is locked out.

import type { ConfigObject } from '@lateen/istio-config';
import type { Report } from '../finding.js';
import { isInjected } from '../model/injected.js';
import { hasLabels, type MeshModel, type Workload } from '../model/mesh-model.js';

type PeerAuthentication = ConfigObject<'PeerAuthentication'>;

/** The mode of a workload and the policy that says it, the closest first: workload, namespace, mesh; PERMISSIVE where none does. */
export function mutualTlsMode(
  model: MeshModel,
  workload: Workload,
): { readonly mode: string; readonly policy: string } {
  const all = model.of('PeerAuthentication');
  const inNamespace = all.filter(({ metadata }) => metadata.namespace === workload.namespace);
  const own = inNamespace.filter(
    (policy) => hasSelector(policy) && hasLabels(workload.labels, policy.spec.selector?.matchLabels),
  );
  const general = inNamespace.filter((policy) => !hasSelector(policy));
  const root = all.filter((policy) => policy.metadata.namespace === model.rootNamespace && !hasSelector(policy));
  for (const policies of [own, general, root]) {
    const said = policies.find(({ spec }) => spec.mtls?.mode !== undefined && spec.mtls.mode !== 'UNSET');
    if (said !== undefined)
      return { mode: said.spec.mtls!.mode!, policy: `${said.metadata.namespace}/${said.metadata.name}` };
  }
  return { mode: 'PERMISSIVE', policy: '' };
}

export function analyzePeerAuthentications(model: MeshModel, report: Report): void {
  const first = new Map<string, PeerAuthentication>();
  for (const policy of model.of('PeerAuthentication')) {
    const { spec, metadata } = policy;
    const key = `${metadata.namespace} ${JSON.stringify(Object.entries(spec.selector?.matchLabels ?? {}).sort())}`;
    const earlier = first.get(key);
    if (earlier !== undefined) {
      report(
        'LAT0002',
        policy,
        ['metadata', 'name'],
        `PeerAuthentication ${earlier.metadata.namespace}/${earlier.metadata.name} is for the same workloads, and only the oldest counts; keep one of them`,
      );
    } else first.set(key, policy);
    checkStrict(model, policy, report);
  }
}

/** STRICT for workloads without a proxy, which go on taking plain text: nobody enforces it. */
function checkStrict(model: MeshModel, policy: PeerAuthentication, report: Report): void {
  if (policy.spec.mtls?.mode !== 'STRICT' || !model.knowsInjection) return;
  const selected = model.workloadsSelected(policy.metadata.namespace, policy.spec.selector?.matchLabels);
  const without = selected.filter(
    (workload) => workload.namespace !== model.rootNamespace && !isInjected(model, workload),
  );
  if (without.length === 0 || without.length === selected.length) return;
  const names = without.map(({ namespace, object }) => `${namespace}/${object.metadata.name}`).join(', ');
  report(
    'LAT0014',
    policy,
    ['spec', 'mtls', 'mode'],
    `${names} has no proxy that would enforce it, and takes plain text from everybody; inject it`,
  );
}

function hasSelector({ spec }: PeerAuthentication): boolean {
  return Object.keys(spec.selector?.matchLabels ?? {}).length > 0;
}
