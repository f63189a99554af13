// Kubernetes pods in local mode: containers, their ports, environment and probes.
import { z } from 'zod';
import { labelName, objectName, portName } from '../declare/kubernetes-names.js';
import { because, list, map, message, nested, opaque, openMessage, required } from '../declare/message.js';
import { choice, integer, portNumber, text } from '../declare/scalars.js';

const portReference = required(z.union([z.int().min(1).max(65_535), z.string()]).optional());

const PROBED_HOST = { host: "the pod's own address is probed" };

const httpHeader = message('HTTPHeader', {
  name: required(text('Its name.', { minLength: 1 })),
  value: text('Its value.'),
});

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
          httpHeaders: list(httpHeader, 'Headers of the request.'),
        },
        { alsoKnown: [], withoutEffect: PROBED_HOST },
      ),
      'Ready when the answer is 200 to 399.',
    ),
    tcpSocket: nested(
      openMessage(
        'TCPSocketAction',
        { port: portReference.describe('Number or name of the port.') },
        { alsoKnown: [], withoutEffect: PROBED_HOST },
      ),
      'Ready when a connection opens.',
    ),
    initialDelaySeconds: integer('Wait before the first probe (default 0).'),
    periodSeconds: integer('Time between probes (default 10).'),
    timeoutSeconds: integer('Limit for a probe (default 1).'),
    successThreshold: integer('Successes in a row to be ready (default 1).'),
    failureThreshold: integer('Failures in a row to be not ready (default 3).'),
  },
  {
    alsoKnown: [],
    withoutEffect: {
      ...because('the pod is ready when a connection opens; use httpGet or tcpSocket', ['exec', 'grpc']),
      terminationGracePeriodSeconds: 'a pod that is not ready is not ended',
    },
  },
);

/** A variable of the environment. */
export const envVar = openMessage(
  'EnvVar',
  {
    name: required(text('Its name.', { minLength: 1 })),
    value: text('Its value.'),
    valueFrom: opaque('A `fieldRef` to a field of the pod; of what cannot be had there is a warning.'),
  },
  { alsoKnown: [] },
);

/** A port of a container. */
export const containerPort = openMessage(
  'ContainerPort',
  {
    containerPort: required(portNumber('The port.')),
    name: text('A name that Services can refer to.', { format: portName }),
    protocol: choice('TCP (the default), UDP or SCTP.', ['TCP', 'UDP', 'SCTP']),
  },
  {
    alsoKnown: [],
    withoutEffect: because('no port of the machine leads to it', ['hostIP', 'hostPort']),
    instead: { port: 'containerPort', number: 'containerPort' },
  },
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
    command: list(
      text(''),
      'The program; warned about where the annotation lateen.io/local-command says something else.',
    ),
    args: list(text(''), 'Its arguments; as `command`.'),
  },
  {
    alsoKnown: ['imagePullPolicy'],
    withoutEffect: {
      ...because('a pod that runs is asked for readiness only', ['livenessProbe', 'startupProbe']),
      ...because('the command is a process without limits of its own', ['resizePolicy', 'resources']),
      ...because('a command that ends is started again', ['restartPolicy', 'restartPolicyRules']),
      ...because('the command has no terminal', ['stdin', 'stdinOnce', 'tty']),
      ...because('no such message is read', ['terminationMessagePath', 'terminationMessagePolicy']),
      ...because('there are no volumes; the command sees the files of this machine', ['volumeDevices', 'volumeMounts']),
      envFrom: 'its variables are not set; write them in `env`',
      lifecycle: 'no hooks run',
      securityContext: 'the command runs with the rights of who started the mesh',
      workingDir: 'the command runs in the directory of the file',
    },
    defaults: {
      restartPolicy: ['Always'],
      stdin: [false],
      stdinOnce: [false],
      terminationMessagePath: ['/dev/termination-log'],
      terminationMessagePolicy: ['File'],
      tty: [false],
    },
  },
);

const podSpec = openMessage(
  'PodSpec',
  {
    containers: required(list(container, 'Its containers.', { min: 1 })),
    serviceAccountName: text('Its identity (default: default).', { format: objectName }),
    serviceAccount: text('Older name of `serviceAccountName`, which wins.', { format: objectName }),
    terminationGracePeriodSeconds: integer('Time for the command to end by itself (default 30).'),
  },
  {
    alsoKnown: ['imagePullSecrets'],
    withoutEffect: {
      ...because('there is one machine', [
        'affinity',
        'nodeName',
        'nodeSelector',
        'os',
        'overhead',
        'preemptionPolicy',
        'priority',
        'priorityClassName',
        'resourceClaims',
        'runtimeClassName',
        'schedulerName',
        'schedulingGates',
        'tolerations',
        'topologySpreadConstraints',
      ]),
      ...because('the command is a process of this machine', ['hostIPC', 'hostNetwork', 'hostPID', 'hostUsers']),
      ...because('the name of a pod is that of its object', [
        'hostname',
        'hostnameOverride',
        'setHostnameAsFQDN',
        'subdomain',
      ]),
      ...because('names are resolved as on this machine', ['dnsConfig', 'dnsPolicy', 'hostAliases']),
      ...because('one container of a pod runs', ['ephemeralContainers', 'initContainers', 'shareProcessNamespace']),
      activeDeadlineSeconds: 'pods run until they are removed',
      automountServiceAccountToken: 'the command sees no token',
      enableServiceLinks: 'the variables of services are set',
      readinessGates: 'a pod is ready when its probe says so',
      resources: 'the command is a process without limits of its own',
      restartPolicy: 'a command that ends is started again',
      securityContext: 'the command runs with the rights of who started the mesh',
      volumes: 'there are none; the command sees the files of this machine',
    },
    defaults: {
      automountServiceAccountToken: [false],
      dnsPolicy: ['ClusterFirst'],
      enableServiceLinks: [true],
      hostIPC: [false],
      hostNetwork: [false],
      hostPID: [false],
      hostUsers: [true],
      restartPolicy: ['Always'],
      schedulerName: ['default-scheduler'],
      setHostnameAsFQDN: [false],
      shareProcessNamespace: [false],
    },
  },
);

/** The template of a Deployment's pods. */
export const podTemplate = message('PodTemplateSpec', {
  metadata: nested(
    openMessage(
      'ObjectMeta',
      { labels: map(text(''), 'Labels of the pods.'), annotations: map(text(''), 'Annotations of the pods.') },
      {
        alsoKnown: ['creationTimestamp', 'name', 'namespace', 'generateName'],
        withoutEffect: { finalizers: 'pods go at once' },
      },
    ),
    'Labels and annotations of the pods.',
  ),
  spec: required(nested(podSpec, 'What runs in them.')),
});

export type PodTemplate = z.infer<typeof podTemplate>;
export type Container = z.infer<typeof container>;
export type Probe = z.infer<typeof probe>;
