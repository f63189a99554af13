// Kind ProxyConfig: which of several are for a workload.
import type { ConfigObject } from '../../object.js';
import { type Labels, selectorMatches } from '../../selector.js';

/** From the weakest. */
export interface ChosenProxyConfigs {
  /** The root namespace's, for all of the mesh. */
  readonly root: ConfigObject<'ProxyConfig'> | undefined;
  /** Its namespace's, for all of that; undefined for workloads of the root namespace. */
  readonly namespace: ConfigObject<'ProxyConfig'> | undefined;
  /** The one that selects it. */
  readonly workload: ConfigObject<'ProxyConfig'> | undefined;
}

function byAge(a: ConfigObject, b: ConfigObject): number {
  const [first, second] = [a, b].map(({ metadata }) => metadata.creationTimestamp ?? '');
  return first === second ? a.metadata.name.localeCompare(b.metadata.name, 'en') : first! < second! ? -1 : 1;
}

/** Of several of a level the oldest counts. */
export function selectProxyConfigs(
  proxyConfigs: readonly ConfigObject<'ProxyConfig'>[],
  rootNamespace: string,
  target: { readonly namespace: string; readonly labels: Labels },
): ChosenProxyConfigs {
  const sorted = [...proxyConfigs].sort(byAge);
  const general = (namespace: string) =>
    sorted.find(({ metadata, spec }) => metadata.namespace === namespace && spec.selector === undefined);
  return {
    root: general(rootNamespace),
    namespace: target.namespace === rootNamespace ? undefined : general(target.namespace),
    workload: sorted.find(
      ({ metadata, spec }) =>
        metadata.namespace === target.namespace &&
        spec.selector !== undefined &&
        selectorMatches(spec.selector.matchLabels, target.labels),
    ),
  };
}
