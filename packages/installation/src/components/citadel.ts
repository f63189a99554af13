// Components: Citadel: certificates, the root, and who may act as whom from the command line.
import {
  availability,
  deployment,
  type KubernetesObject,
  networkPolicy,
  ownMetadata,
  type PolicyRule,
  REVISION_LABEL,
  role,
  serviceAccount,
  sharedMetadata,
} from '../objects.js';
import type { WholeValues } from '../values/resolve-values.js';
import { ADMIN_PORT, controlPlaneContainer, controlPlaneVolumes, MONITORING_PORT, service } from './control-plane.js';

const GRPC_PORT = 8060;

/** Accounts that `lateenctl` acts as: who may ask for their tokens has the role. */
export const ADMIN_ACCOUNTS = ['lateen-viewer', 'lateen-editor', 'lateen-admin'] as const;

/** Objects of Citadel. */
export function citadel(values: WholeValues): KubernetesObject[] {
  const own = values.components.citadel ?? {};
  const { revision } = values;
  const container = controlPlaneContainer(
    { name: 'citadel', ports: { 'grpc-ca': GRPC_PORT }, args: [], certified: false },
    values,
  );
  return [
    serviceAccount('citadel'),
    ...role('citadel', CLUSTER_RULES, 'ClusterRole'),
    ...role('citadel', NAMESPACE_RULES, 'Role'),
    ...ADMIN_ACCOUNTS.map((name) => ({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: sharedMetadata('citadel', name),
      automountServiceAccountToken: false,
    })),
    deployment({ component: 'citadel', container, volumes: controlPlaneVolumes(false), values: own }, values),
    service(ownMetadata('citadel', revision), { app: 'citadel', [REVISION_LABEL]: revision }, [
      { name: 'grpc-ca', port: GRPC_PORT },
      { name: 'https-admin', port: ADMIN_PORT },
      { name: 'http-monitoring', port: MONITORING_PORT },
    ]),
    ...availability('citadel', own, values),
    ...networkPolicy('citadel', [{ ports: [GRPC_PORT] }, { ports: [MONITORING_PORT] }], values),
  ];
}

const CLUSTER_RULES: readonly PolicyRule[] = [
  { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
  { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] },
  // The trust bundle of every namespace. Creation cannot be limited to a name.
  { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
  {
    apiGroups: [''],
    resources: ['configmaps'],
    verbs: ['get', 'list', 'watch', 'update'],
    resourceNames: ['istio-ca-root-cert'],
  },
];

const NAMESPACE_RULES: readonly PolicyRule[] = [
  { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
  {
    apiGroups: [''],
    resources: ['secrets'],
    verbs: ['get', 'list', 'watch', 'update'],
    resourceNames: ['istio-ca-secret'],
  },
  { apiGroups: [''], resources: ['secrets'], verbs: ['list', 'watch'], resourceNames: ['cacerts'] },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    verbs: ['get', 'update'],
    resourceNames: ['lateen-citadel'],
  },
];
