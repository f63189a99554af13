// Kubernetes pods in local mode: containers, their ports, environment and probes.
import { z } from 'zod';
import { labelName, objectName, portName } from '../declare/kubernetes-names.js';
import { list, map, message, nested, openMessage, required } from '../declare/message.js';
import { choice, integer, portNumber, text } from '../declare/scalars.js';

const portReference = required(z.union([z.int().min(1).max(65_535), z.string()]).optional());

/** How readiness is asked for. */
export const probe = openMessage(
  'Probe',
  {
    httpGet: nested(
      openMessage(
        'HTTPGetAction',
        {
          path: text('The path (default /).'),
          port: portReference.describe('Number or name of the port.'),
          scheme: choice('HTTP (the default) or HTTPS.', ['HTTP', 'HTTPS']),
        },
        { alsoKnown: ['host', 'httpHeaders'] },
      ),
      'Ready when the answer is 200 to 399.',
    ),
    tcpSocket: nested(
      openMessage(
        'TCPSocketAction',
        { port: portReference.describe('Number or name of the port.') },
        { alsoKnown: ['host'] },
      ),
      'Ready when a connection opens.',
    ),
    initialDelaySeconds: integer('Wait before the first probe (default 0).'),
    periodSeconds: integer('Time between probes (default 10).'),
    timeoutSeconds: integer('Limit for a probe (default 1).'),
    successThreshold: integer('Successes in a row to be ready (default 1).'),
    failureThreshold: integer('Failures in a row to be not ready (default 3).'),
  },
  { alsoKnown: ['exec', 'grpc', 'terminationGracePeriodSeconds'] },
);

/** A variable of the environment. */
export const envVar = openMessage(
  'EnvVar',
  { name: required(text('Its name.', { minLength: 1 })), value: text('Its value.') },
  { alsoKnown: ['valueFrom'] },
);

/** A port of a container. */
export const containerPort = openMessage(
  'ContainerPort',
  {
    containerPort: required(portNumber('The port.')),
    name: text('A name that Services can refer to.', { format: portName }),
    protocol: choice('TCP (the default), UDP or SCTP.', ['TCP', 'UDP', 'SCTP']),
  },
  { alsoKnown: ['hostIP', 'hostPort'], instead: { port: 'containerPort', number: 'containerPort' } },
);

/** A container. */
export const container = openMessage(
  'Container',
  {
    name: required(text('Its name.', { format: labelName })),
    image: text('Its image; local mode runs the command of the annotation lateen.io/local-command.'),
    ports: list(containerPort, 'Its ports.'),
    env: list(envVar, 'Its environment.'),
    readinessProbe: nested(probe, 'How readiness is asked for.'),
  },
  {
    alsoKnown: [
      'args',
      'command',
      'envFrom',
      'imagePullPolicy',
      'lifecycle',
      'livenessProbe',
      'resizePolicy',
      'resources',
      'restartPolicy',
      'restartPolicyRules',
      'securityContext',
      'startupProbe',
      'stdin',
      'stdinOnce',
      'terminationMessagePath',
      'terminationMessagePolicy',
      'tty',
      'volumeDevices',
      'volumeMounts',
      'workingDir',
    ],
  },
);

const podSpec = openMessage(
  'PodSpec',
  {
    containers: required(list(container, 'Its containers.', { min: 1 })),
    serviceAccountName: text('Its identity (default: default).', { format: objectName }),
  },
  {
    alsoKnown: [
      'activeDeadlineSeconds',
      'affinity',
      'automountServiceAccountToken',
      'dnsConfig',
      'dnsPolicy',
      'enableServiceLinks',
      'ephemeralContainers',
      'hostAliases',
      'hostIPC',
      'hostNetwork',
      'hostPID',
      'hostUsers',
      'hostname',
      'hostnameOverride',
      'imagePullSecrets',
      'initContainers',
      'nodeName',
      'nodeSelector',
      'os',
      'overhead',
      'preemptionPolicy',
      'priority',
      'priorityClassName',
      'readinessGates',
      'resourceClaims',
      'resources',
      'restartPolicy',
      'runtimeClassName',
      'schedulerName',
      'schedulingGates',
      'securityContext',
      'serviceAccount',
      'setHostnameAsFQDN',
      'shareProcessNamespace',
      'subdomain',
      'terminationGracePeriodSeconds',
      'tolerations',
      'topologySpreadConstraints',
      'volumes',
    ],
  },
);

/** The template of a Deployment's pods. */
export const podTemplate = message('PodTemplateSpec', {
  metadata: nested(
    openMessage(
      'ObjectMeta',
      { labels: map(text(''), 'Labels of the pods.'), annotations: map(text(''), 'Annotations of the pods.') },
      { alsoKnown: ['creationTimestamp', 'name', 'namespace', 'finalizers', 'generateName'] },
    ),
    'Labels and annotations of the pods.',
  ),
  spec: required(nested(podSpec, 'What runs in them.')),
});

export type PodTemplate = z.infer<typeof podTemplate>;
export type Container = z.infer<typeof container>;
export type Probe = z.infer<typeof probe>;
