// Components: Galley: configuration, validation and injection.

import { defaultConfigTexts } from '@lateen/injection';
import { stringify } from 'yaml';
import {
  availability,
  deployment,
  type KubernetesObject,
  networkPolicy,
  ownMetadata,
  type PolicyRule,
  REVISION_LABEL,
  revisioned,
  role,
  serviceAccount,
} from '../objects.js';
import type { WholeValues } from '../values/resolve-values.js';
import { ADMIN_PORT, controlPlaneContainer, controlPlaneVolumes, MONITORING_PORT, service } from './control-plane.js';

const XDS_PORT = 9901;
const WEBHOOK_PORT = 15_017;

/** API groups whose resources Galley reads. */
export const CONFIG_GROUPS = [
  'extensions.istio.io',
  'lateen.io',
  'networking.istio.io',
  'security.istio.io',
  'telemetry.istio.io',
] as const;

/** Objects of Galley; `resources` are the plural names of the kinds that it serves, by group. */
export function galley(values: WholeValues, resources: ReadonlyMap<string, readonly string[]>): KubernetesObject[] {
  const own = values.components.galley ?? {};
  const { revision } = values;
  const metadata = ownMetadata('galley', revision);
  const meshName = revisioned('istio', revision);
  const container = controlPlaneContainer(
    { name: 'galley', ports: { 'grpc-xds': XDS_PORT, 'https-webhooks': WEBHOOK_PORT }, args: [], certified: true },
    values,
  );
  return [
    serviceAccount('galley'),
    ...role('galley', clusterRules(resources), 'ClusterRole'),
    ...role('galley', NAMESPACE_RULES, 'Role'),
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { ...ownMetadata('galley', revision), name: meshName },
      data: { mesh: stringify(meshConfig(values)) },
    },
    injectionConfig(values),
    deployment({ component: 'galley', container, volumes: controlPlaneVolumes(true), values: own }, values),
    service(metadata, { app: 'galley', [REVISION_LABEL]: revision }, [
      { name: 'grpc-xds', port: XDS_PORT },
      { name: 'https-webhooks', port: 443, targetPort: WEBHOOK_PORT },
      { name: 'https-admin', port: ADMIN_PORT },
      { name: 'http-monitoring', port: MONITORING_PORT },
    ]),
    ...availability('galley', own, values),
    ...networkPolicy(
      'galley',
      [
        { ports: [XDS_PORT], from: [{ podSelector: { matchLabels: { app: 'pilot' } } }] },
        // The API server's address is not known to NetworkPolicies.
        { ports: [WEBHOOK_PORT] },
        { ports: [MONITORING_PORT] },
      ],
      values,
    ),
  ];
}

/** What the ConfigMap holds: what the values say, and where the mesh's own is known from them. */
function meshConfig({ meshConfig: said = {}, trustDomain, proxy }: WholeValues): object {
  const defaultConfig = (said.defaultConfig ?? {}) as { readonly proxyMetadata?: object };
  const proxyMetadata = { ISTIO_META_DNS_CAPTURE: 'true', ...defaultConfig.proxyMetadata };
  return {
    ...(trustDomain !== 'cluster.local' && { trustDomain }),
    ...said,
    ...(proxy?.dnsCapture === true && { defaultConfig: { ...defaultConfig, proxyMetadata } }),
  };
}

/** How pods get their proxies: the templates of this release, which users may change there, and what the values say. */
function injectionConfig(values: WholeValues): KubernetesObject {
  const { hub, tag, imagePullPolicy, imagePullSecrets, revision, proxy = {} } = values;
  const { dnsCapture: _, cni, ...ofProxy } = proxy;
  const said = {
    global: {
      hub,
      tag,
      imagePullPolicy,
      ...(imagePullSecrets !== undefined && { imagePullSecrets }),
      proxy: ofProxy,
    },
    ...(cni !== undefined && { pilot: { cni: { enabled: cni } } }),
  };
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { ...ownMetadata('galley', revision), name: revisioned('istio-sidecar-injector', revision) },
    data: { config: defaultConfigTexts().config, values: stringify(said) },
  };
}

function clusterRules(resources: ReadonlyMap<string, readonly string[]>): PolicyRule[] {
  const byGroup = [...resources];
  return [
    ...byGroup.map(([group, names]) => ({ apiGroups: [group], resources: names, verbs: ['list', 'watch'] })),
    ...byGroup.map(([group, names]) => ({
      apiGroups: [group],
      resources: names.map((name) => `${name}/status`),
      verbs: ['patch'],
    })),
    // Whose pods are injected; whose resources count.
    { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] },
    // Their caBundle follows the roots. A list by name is asked with the name, and so can be limited to it only where it is known: revisions name theirs.
    {
      apiGroups: ['admissionregistration.k8s.io'],
      resources: ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'],
      verbs: ['get', 'list', 'watch', 'patch'],
    },
  ];
}

const NAMESPACE_RULES: readonly PolicyRule[] = [
  // MeshConfig and the templates of injection.
  { apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list', 'watch'] },
  // A dry run of one that is not valid shows that validation works; nothing is ever made.
  { apiGroups: ['networking.istio.io'], resources: ['gateways'], verbs: ['create'] },
  // Who writes status.
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    verbs: ['get', 'update'],
    resourceNames: ['lateen-galley'],
  },
];
