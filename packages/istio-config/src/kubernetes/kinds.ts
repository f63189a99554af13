// Kubernetes kinds of local mode: the fields that the supervisor uses, strictly; the others of the API by name only.
import { z } from 'zod';
import { labelName } from '../declare/kubernetes-names.js';
import { list, map, message, nested, openMessage, required } from '../declare/message.js';
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
  { alsoKnown: ['nodePort'], instead: { number: 'port', containerPort: 'targetPort' } },
);

const serviceSpec = openMessage(
  'ServiceSpec',
  {
    ports: list(kubernetesServicePort, 'Its ports.'),
    selector: map(text(''), 'Labels of its pods.'),
    clusterIP: text('Its address; None: headless.'),
    type: choice('How it is exposed (default ClusterIP).', ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName']),
  },
  {
    alsoKnown: [
      'allocateLoadBalancerNodePorts',
      'clusterIPs',
      'externalIPs',
      'externalName',
      'externalTrafficPolicy',
      'healthCheckNodePort',
      'internalTrafficPolicy',
      'ipFamilies',
      'ipFamilyPolicy',
      'loadBalancerClass',
      'loadBalancerIP',
      'loadBalancerSourceRanges',
      'publishNotReadyAddresses',
      'sessionAffinity',
      'sessionAffinityConfig',
      'trafficDistribution',
    ],
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
  { alsoKnown: ['minReadySeconds', 'paused', 'progressDeadlineSeconds', 'revisionHistoryLimit', 'strategy'] },
);

const namespaceSpec = openMessage('NamespaceSpec', {}, { alsoKnown: ['finalizers'] });
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
