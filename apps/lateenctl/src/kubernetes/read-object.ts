// Kubernetes: validated documents -> the objects that local mode plays.

import { type ConfigObject, formatPath, type KubernetesKind, locateField, type Problem } from '@lateen/istio-config';
import type { KubeCredential, KubeDeployment, KubeNamespace, KubeService, KubeServiceAccount } from './objects.js';
import { type Report, readDeployment } from './read-deployment.js';
import { readCredential } from './secret-values.js';

export type KubernetesObject = ConfigObject<KubernetesKind>;

export type KubeObject =
  | { readonly kind: 'Namespace'; readonly value: KubeNamespace }
  | { readonly kind: 'ServiceAccount'; readonly value: KubeServiceAccount }
  | { readonly kind: 'Service'; readonly value: KubeService }
  | { readonly kind: 'Deployment'; readonly value: KubeDeployment }
  | { readonly kind: 'Secret'; readonly value: KubeCredential };

/**
 * Reads one object; undefined after an error was added to `problems`.
 *
 * @param values a Secret's, which the object itself does not hold
 */
export function readKubeObject(
  object: KubernetesObject,
  directory: string,
  problems: Problem[],
  values?: Readonly<Record<string, string>>,
): KubeObject | undefined {
  const report: Report = (path, severity, code, message) => {
    const { source, kind, metadata } = object;
    const { line, column } = locateField(object, path);
    const { namespace, name } = metadata;
    const { file } = source;
    problems.push({ file, line, column, kind, namespace, name, path: formatPath(path), severity, code, message });
  };
  const { namespace, name, labels } = object.metadata;
  switch (object.kind) {
    case 'Namespace':
      return { kind: 'Namespace', value: { name, labels } };
    case 'ServiceAccount':
      return { kind: 'ServiceAccount', value: { namespace, name } };
    case 'Service':
      return { kind: 'Service', value: readService(object) };
    case 'Deployment': {
      const value = readDeployment(object, directory, report);
      return value === undefined ? undefined : { kind: 'Deployment', value };
    }
    case 'Secret':
      return { kind: 'Secret', value: readCredential(object, values ?? {}, report) };
  }
}

/** UDP and SCTP ports were warned of; the mesh carries TCP. */
function readService({ spec, metadata }: ConfigObject<'Service'>): KubeService {
  const { namespace, name, labels, annotations } = metadata;
  const ports = (spec.ports ?? [])
    .filter((port) => (port.protocol ?? 'TCP') === 'TCP')
    .map((port) => ({
      name: port.name ?? '',
      port: port.port,
      targetPort: port.targetPort ?? port.port,
      appProtocol: port.appProtocol ?? '',
    }));
  const headless = spec.clusterIP === 'None';
  const nodeLocal = spec.internalTrafficPolicy === 'Local';
  const { trafficDistribution, selector = {} } = spec;
  const common = { namespace, name, labels, annotations, selector, ports, headless, nodeLocal };
  return trafficDistribution === undefined ? common : { ...common, trafficDistribution };
}
