// Components: the ingress gateway: a proxy of its own, reached from outside.
import {
  availability,
  componentLabels,
  deployment,
  type KubernetesObject,
  networkPolicy,
  ownMetadata,
  REVISION_LABEL,
  SYSTEM_NAMESPACE,
  serviceAccount,
} from '../objects.js';
import type { WholeValues } from '../values/resolve-values.js';
import { addressOf, fieldVariable, IDENTITY_MOUNTS, IDENTITY_VOLUMES, image, service } from './control-plane.js';

const NAME = 'istio-ingressgateway';
const PROXY_USER = 1337;
const STATUS_PORT = 15_021;
const METRICS_PORT = 15_020;
const PROXY_METRICS_PORT = 15_090;

/** Objects of the ingress gateway. */
export function ingressGateway(values: WholeValues): KubernetesObject[] {
  const own = values.gateways?.ingress ?? {};
  const { revision } = values;
  const ports = own.ports ?? [];
  const role = { istio: 'ingressgateway' };
  const selector = { app: NAME, [REVISION_LABEL]: revision };
  const serviceObject = service(
    {
      ...ownMetadata(NAME, revision),
      labels: { ...componentLabels(NAME, revision), ...role },
      ...(own.serviceAnnotations !== undefined && { annotations: own.serviceAnnotations }),
    },
    selector,
    ports.flatMap(({ name, port, targetPort, nodePort }) =>
      name === undefined || port === undefined
        ? []
        : [{ name, port, targetPort, ...(nodePort !== undefined && { nodePort }) }],
    ),
  );
  const listened = ports.flatMap(({ port, targetPort }) => targetPort ?? port ?? []);
  return [
    serviceAccount(NAME),
    ...secretsRole(),
    deployment(
      {
        component: NAME,
        container: container(values, listened),
        volumes: [...IDENTITY_VOLUMES, ...PROXY_VOLUMES],
        values: own,
        podLabels: {
          ...role,
          'service.istio.io/canonical-name': NAME,
          'service.istio.io/canonical-revision': 'latest',
        },
        podAnnotations: {
          'prometheus.io/scrape': 'true',
          'prometheus.io/port': String(METRICS_PORT),
          'prometheus.io/path': '/stats/prometheus',
        },
        user: PROXY_USER,
      },
      values,
    ),
    {
      ...serviceObject,
      spec: {
        ...(serviceObject.spec as object),
        type: own.serviceType ?? 'LoadBalancer',
        ...(own.serviceType !== 'ClusterIP' && { externalTrafficPolicy: own.externalTrafficPolicy ?? 'Cluster' }),
      },
    },
    ...availability(NAME, own, values),
    ...networkPolicy(NAME, [{ ports: [...new Set([...listened, METRICS_PORT, PROXY_METRICS_PORT])] }], values),
  ];
}

const PROXY_VOLUMES = [
  { name: 'lateen-state', emptyDir: { medium: 'Memory', sizeLimit: '256Mi' } },
  {
    name: 'istio-podinfo',
    downwardAPI: {
      items: [
        { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
        { path: 'annotations', fieldRef: { fieldPath: 'metadata.annotations' } },
      ],
    },
  },
];

function container(values: WholeValues, ports: readonly number[]) {
  const own = values.gateways?.ingress;
  return {
    name: 'istio-proxy',
    image: image('sidecar', values),
    args: ['lateen-sidecar', '--pod', 'router', '--log-level', own?.logLevel ?? 'info'],
    env: [
      fieldVariable('POD_NAME', 'metadata.name'),
      fieldVariable('POD_NAMESPACE', 'metadata.namespace'),
      fieldVariable('INSTANCE_IP', 'status.podIP'),
      fieldVariable('HOST_IP', 'status.hostIP'),
      fieldVariable('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
      { name: 'PILOT_ADDRESS', value: addressOf('pilot', 15_012, values) },
      { name: 'CITADEL_ADDRESS', value: addressOf('citadel', 8060, values) },
      { name: 'TRUST_DOMAIN', value: values.trustDomain },
      { name: 'ISTIO_META_CLUSTER_ID', value: 'Kubernetes' },
      ...Object.entries(own?.env ?? {}).map(([name, value]) => ({ name, value })),
    ],
    ports: [
      ...ports.filter((port) => port !== STATUS_PORT).map((containerPort) => ({ containerPort, protocol: 'TCP' })),
      { name: 'status-port', containerPort: STATUS_PORT, protocol: 'TCP' },
      { name: 'http-envoy-prom', containerPort: PROXY_METRICS_PORT, protocol: 'TCP' },
    ],
    startupProbe: { httpGet: { path: '/healthz/ready', port: STATUS_PORT }, periodSeconds: 1, failureThreshold: 120 },
    readinessProbe: {
      httpGet: { path: '/healthz/ready', port: STATUS_PORT },
      periodSeconds: 5,
      timeoutSeconds: 3,
      failureThreshold: 4,
    },
    volumeMounts: [
      ...IDENTITY_MOUNTS,
      { name: 'lateen-state', mountPath: '/var/run/lateen' },
      { name: 'istio-podinfo', mountPath: '/etc/istio/pod', readOnly: true },
    ],
  };
}

/** Pilot reads the Secrets that Gateways name, in the namespaces where gateways run and nowhere else. */
function secretsRole(): KubernetesObject[] {
  const metadata = { name: `${NAME}-secrets`, namespace: SYSTEM_NAMESPACE, labels: componentLabels(NAME) };
  const group = 'rbac.authorization.k8s.io';
  return [
    {
      apiVersion: `${group}/v1`,
      kind: 'Role',
      metadata,
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch'] }],
    },
    {
      apiVersion: `${group}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: group, kind: 'Role', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', name: 'pilot', namespace: SYSTEM_NAMESPACE }],
    },
  ];
}
