// Kubernetes kinds of local mode: the fields that the supervisor uses, strictly; the others of the API by name only.
import { z } from 'zod';
import { labelName } from '../declare/kubernetes-names.js';
import { because, list, map, message, nested, openMessage, required } from '../declare/message.js';
import { choice, integer, portNumber, text } from '../declare/scalars.js';
import { podTemplate } from './pod.js';
import { secretBody } from './secret.js';

/** A port by number or by the name of a container's port. */
const portReference = z
  .union([z.int().min(1).max(65_535), z.string()])
  .optional()
  .describe('Number or name of the container port (default: port).');

/** A port of a Service. */
export const kubernetesServicePort = openMessage(
  'ServicePort',
  {
    name: text('A name; it says the protocol (`http-web`).', { format: labelName }),
    port: required(portNumber('The port that clients use.')),
    targetPort: portReference,
    protocol: choice('TCP (the default), UDP or SCTP.', ['TCP', 'UDP', 'SCTP']),
    appProtocol: text('The protocol inside.'),
  },
  {
    alsoKnown: [],
    withoutEffect: { nodePort: 'no port of the machine leads to it' },
    instead: { number: 'port', containerPort: 'targetPort' },
  },
);

const serviceSpec = openMessage(
  'ServiceSpec',
  {
    ports: list(kubernetesServicePort, 'Its ports.'),
    selector: map(text(''), 'Labels of its pods.'),
    clusterIP: text('Its address; None: headless, so that each of its pods can be called by name.'),
    internalTrafficPolicy: choice('Local: on the own node only (default Cluster).', ['Cluster', 'Local']),
    trafficDistribution: choice('Which endpoints are called before others (default: none are).', [
      'PreferClose',
      'PreferSameZone',
      'PreferSameNode',
    ]),
    type: choice('How it is exposed (default ClusterIP).', ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName']),
  },
  {
    alsoKnown: [],
    withoutEffect: {
      ...because('there is no load balancer', [
        'allocateLoadBalancerNodePorts',
        'healthCheckNodePort',
        'loadBalancerClass',
        'loadBalancerIP',
        'loadBalancerSourceRanges',
      ]),
      ...because('services are reached inside the mesh and by a Gateway', ['externalIPs', 'externalTrafficPolicy']),
      ...because('addresses are IPv4', ['ipFamilies', 'ipFamilyPolicy']),
      ...because('a DestinationRule says how endpoints are picked', ['sessionAffinity', 'sessionAffinityConfig']),
      clusterIPs: 'each pod has addresses of its own for services',
      externalName: 'names of other services are not resolved',
      publishNotReadyAddresses: 'pods that are not ready get no traffic',
    },
    defaults: {
      externalTrafficPolicy: ['Cluster'],
      publishNotReadyAddresses: [false],
      sessionAffinity: ['None'],
    },
  },
);

const labelSelector = message('LabelSelector', {
  matchLabels: map(text(''), 'Labels, all of them.'),
  matchExpressions: list(
    message('LabelSelectorRequirement', {
      key: required(text('The label.')),
      operator: required(choice('How it is compared.', ['In', 'NotIn', 'Exists', 'DoesNotExist'])),
      values: list(text(''), 'The values.'),
    }),
    'Conditions, all of them.',
  ),
});

const deploymentSpec = openMessage(
  'DeploymentSpec',
  {
    replicas: integer('How many pods (default 1).'),
    selector: required(nested(labelSelector, 'Its pods; has to match the labels of the template.')),
    template: required(nested(podTemplate, 'What each pod is.')),
  },
  {
    alsoKnown: [],
    withoutEffect: {
      minReadySeconds: 'a pod gets traffic as soon as it is ready',
      paused: 'a change takes effect at once',
      progressDeadlineSeconds: 'old pods wait for a minute for their successors, then they go',
      revisionHistoryLimit: 'no revisions are kept',
      strategy: 'all new pods start at once, and old ones go when these are ready',
    },
    defaults: {
      minReadySeconds: [0],
      paused: [false],
      progressDeadlineSeconds: [600],
      revisionHistoryLimit: [10],
      strategy: [
        { type: 'RollingUpdate' },
        { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      ],
    },
  },
);

const namespaceSpec = openMessage(
  'NamespaceSpec',
  {},
  {
    alsoKnown: [],
    withoutEffect: { finalizers: 'a namespace goes at once with what is in it' },
    defaults: { finalizers: [['kubernetes']] },
  },
);
const serviceAccountSpec = openMessage('ServiceAccount', {}, { alsoKnown: [] });

/** The declared Kubernetes kinds. */
export const kubernetesSpecs = {
  Namespace: namespaceSpec,
  ServiceAccount: serviceAccountSpec,
  Service: serviceSpec,
  Deployment: deploymentSpec,
  Secret: secretBody,
} as const;

export type NamespaceSpec = z.infer<typeof namespaceSpec>;
export type ServiceAccountSpec = z.infer<typeof serviceAccountSpec>;
export type ServiceSpec = z.infer<typeof serviceSpec>;
export type DeploymentSpec = z.infer<typeof deploymentSpec>;
export type KubernetesServicePort = z.infer<typeof kubernetesServicePort>;
