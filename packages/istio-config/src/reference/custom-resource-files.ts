// Reference: deploy/crds: one file a kind, and the kustomization that takes them all.
import { stringify } from 'yaml';
import { ISTIO_KINDS } from '../kinds/registry.js';
import { customResourceDefinition } from './custom-resource.js';

/** A file of `deploy/crds`. */
export interface DeploymentFile {
  readonly name: string;
  readonly text: string;
}

const MADE = '# Made from the declarations of the kinds: npm run deploy:crds\n';

/** The definitions of every kind of Istio's and of Lateen's own. */
export function customResourceFiles(): DeploymentFile[] {
  const kinds = ISTIO_KINDS.map((kind) => {
    const definition = customResourceDefinition(kind);
    // Versions have one schema, which stands in each of them: the API server takes no references.
    const text = `${MADE}${stringify(definition, { aliasDuplicateObjects: false, lineWidth: 0 })}`;
    return { name: `${definition.metadata.name}.yaml`, text };
  });
  const resources = kinds.map(({ name }) => name).sort();
  const kustomization = { apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', resources };
  return [...kinds, { name: 'kustomization.yaml', text: `${MADE}${stringify(kustomization)}` }];
}
