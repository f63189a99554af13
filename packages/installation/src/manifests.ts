// Manifests: values → every object that is installed, by component, in the order in which a cluster takes them.
import { definitions, servedResources, systemNamespace } from './components/base.js';
import { citadel } from './components/citadel.js';
import { galley } from './components/galley.js';
import { ingressGateway } from './components/gateway.js';
import { pilot } from './components/pilot.js';
import { injectorOf, validator } from './components/webhooks.js';
import type { KubernetesObject } from './objects.js';
import type { WholeValues } from './values/resolve-values.js';

/** Parts that are applied, upgraded and removed alone; a folder of deploy/ each. */
export const COMPONENTS = ['crds', 'base', 'citadel', 'galley', 'pilot', 'gateway'] as const;
export type ComponentName = (typeof COMPONENTS)[number];

export interface Component {
  readonly name: ComponentName;
  readonly objects: readonly KubernetesObject[];
}

export interface ManifestOptions {
  /** Whether `istio-injection=enabled` means this revision: of the revision `default` it does unless a tag says otherwise. */
  readonly byInjectionLabel?: boolean;
}

/** What an installation of these values consists of. Parts that are not enabled are not in it. */
export function buildManifests(values: WholeValues, { byInjectionLabel }: ManifestOptions = {}): Component[] {
  const { components, gateways, revision } = values;
  const parts: [ComponentName, boolean, () => KubernetesObject[]][] = [
    ['crds', true, definitions],
    ['base', true, () => [systemNamespace()]],
    ['citadel', components.citadel?.enabled !== false, () => citadel(values)],
    [
      'galley',
      components.galley?.enabled !== false,
      () => [...galley(values, servedResources()), validator(revision), injectorOf(revision, byInjectionLabel)],
    ],
    ['pilot', components.pilot?.enabled !== false, () => pilot(values)],
    ['gateway', gateways?.ingress?.enabled === true, () => ingressGateway(values)],
  ];
  return parts.filter(([, enabled]) => enabled).map(([name, , objects]) => ({ name, objects: objects() }));
}

/** What an object is called in messages: `Deployment/istio-system/galley`. */
export function objectName({ kind, metadata }: KubernetesObject): string {
  return [kind, metadata.namespace, metadata.name].filter((part) => part !== undefined).join('/');
}
