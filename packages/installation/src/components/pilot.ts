// Components: Pilot: discovery and push.
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
} from '../objects.js';
import type { WholeValues } from '../values/resolve-values.js';
import {
  ADMIN_PORT,
  addressOf,
  controlPlaneContainer,
  controlPlaneVolumes,
  MONITORING_PORT,
  service,
} from './control-plane.js';

const XDS_PORT = 15_012;

/** Objects of Pilot. What it may read of Secrets comes with each gateway, in that gateway's namespace. */
export function pilot(values: WholeValues): KubernetesObject[] {
  const own = values.components.pilot ?? {};
  const { revision } = values;
  const args = ['--galley-address', addressOf('galley', 9901, values)];
  const container = controlPlaneContainer(
    { name: 'pilot', ports: { 'grpc-xds': XDS_PORT }, args, certified: true },
    values,
  );
  return [
    serviceAccount('pilot'),
    ...role('pilot', CLUSTER_RULES, 'ClusterRole'),
    deployment({ component: 'pilot', container, volumes: controlPlaneVolumes(true), values: own }, values),
    service(ownMetadata('pilot', revision), { app: 'pilot', [REVISION_LABEL]: revision }, [
      { name: 'grpc-xds', port: XDS_PORT },
      { name: 'https-admin', port: ADMIN_PORT },
      { name: 'http-monitoring', port: MONITORING_PORT },
    ]),
    ...availability('pilot', own, values),
    ...networkPolicy(
      'pilot',
      [
        { ports: [XDS_PORT] },
        { ports: [MONITORING_PORT] },
        // Replicas ask each other about their proxies.
        { ports: [ADMIN_PORT], from: [{ podSelector: { matchLabels: { app: 'pilot', [REVISION_LABEL]: revision } } }] },
      ],
      values,
    ),
  ];
}

const CLUSTER_RULES: readonly PolicyRule[] = [
  { apiGroups: [''], resources: ['namespaces', 'nodes', 'pods', 'services'], verbs: ['list', 'watch'] },
  // Of workloads outside of the cluster that register themselves.
  { apiGroups: ['networking.istio.io'], resources: ['workloadentries'], verbs: ['create', 'delete', 'get', 'patch'] },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
];
