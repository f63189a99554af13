// Build: the Secrets that configuration names for the proxies there are, so that nobody has to read others.

import { type ConfigObject, selectorMatches } from '@lateen/istio-config';
import type { MeshSnapshot, Workload } from '../../model.js';
import { ROOTS_SUFFIX } from '../../resolve/credentials.js';
import { terminatedTls } from '../../resolve/gateway-tls.js';
import { isRuleExportedTo } from '../../resolve/mesh-index.js';
import { configsOf } from '../../snapshot.js';
import { compareText } from '../../stable-hash.js';
import { clientCredentials } from './client-tls-context.js';
import { originatedTls } from './served-secrets.js';

export interface NamedCredential {
  readonly namespace: string;
  readonly name: string;
  /** It need not be there: its roots may be in another one. */
  readonly optional: boolean;
  /** The objects that name it, `KIND/NAMESPACE/NAME`. */
  readonly namedBy: readonly string[];
}

interface Named {
  optional: boolean;
  readonly namedBy: Set<string>;
}

class Names {
  readonly #byKey = new Map<string, Named>();

  add(namespaces: Iterable<string>, names: readonly (string | undefined)[], { kind, metadata }: ConfigObject): void {
    const by = `${kind}/${metadata.namespace}/${metadata.name}`;
    for (const namespace of namespaces) {
      for (const name of names) {
        if (!name) continue;
        const isCompanion = name.endsWith(ROOTS_SUFFIX);
        this.#add(`${namespace}/${name}`, isCompanion, by);
        // The roots of a companion that is not there are in the Secret itself.
        if (isCompanion) this.#add(`${namespace}/${name.slice(0, -ROOTS_SUFFIX.length)}`, false, by);
      }
    }
  }

  #add(key: string, optional: boolean, by: string): void {
    const named = this.#byKey.get(key) ?? { optional, namedBy: new Set() };
    named.optional &&= optional;
    named.namedBy.add(by);
    this.#byKey.set(key, named);
  }

  list(): readonly NamedCredential[] {
    return [...this.#byKey]
      .sort(([a], [b]) => compareText(a, b))
      .map(([key, { optional, namedBy }]) => {
        const slash = key.indexOf('/');
        return { namespace: key.slice(0, slash), name: key.slice(slash + 1), optional, namedBy: [...namedBy].sort() };
      });
  }
}

function namespacesOf(workloads: readonly Workload[]): ReadonlySet<string> {
  return new Set(workloads.map(({ namespace }) => namespace));
}

/**
 * The Secrets that Gateways and DestinationRules name, in the namespaces of the proxies that they are for: as in Istio a
 * proxy uses those of its own namespace. Sorted.
 */
export function namedCredentials(snapshot: MeshSnapshot): readonly NamedCredential[] {
  const names = new Names();
  const gateways = snapshot.workloads.filter(({ gateway }) => gateway);
  for (const gateway of configsOf(snapshot, 'Gateway')) {
    const serving = gateways.filter(({ labels }) => selectorMatches(gateway.spec.selector, labels));
    for (const server of gateway.spec.servers ?? []) {
      const tls = terminatedTls(server);
      if (tls !== undefined) names.add(namespacesOf(serving), [...tls.credentials, tls.rootsCredential], gateway);
    }
  }
  for (const rule of configsOf(snapshot, 'DestinationRule')) {
    const credentials = originatedTls(rule.spec).map(clientCredentials);
    if (credentials.length === 0) continue;
    const { namespace } = rule.metadata;
    const selector = rule.spec.workloadSelector?.matchLabels;
    // Sidecars use what rules name that select them, gateways all that they see.
    const using =
      selector === undefined
        ? gateways.filter((workload) => isRuleExportedTo(snapshot, rule, workload.namespace))
        : snapshot.workloads.filter((each) => each.namespace === namespace && selectorMatches(selector, each.labels));
    names.add(
      namespacesOf(using),
      credentials.flatMap(({ certificate, roots }) => [certificate, roots]),
      rule,
    );
  }
  return names.list();
}
