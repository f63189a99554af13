// Values: what can be said of an installation, in a file (`-f`) or word by word (`--set`).
import {
  choice,
  flag,
  freeForm,
  integer,
  list,
  map,
  message,
  nested,
  portNumber,
  text,
} from '@lateen/istio-config/declare';

export const PROFILES = ['minimal', 'default', 'demo'] as const;
export type Profile = (typeof PROFILES)[number];

const REVISION = /^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$/;

const quantities = (what: string) =>
  map(text('A quantity, such as 100m or 128Mi.'), `${what}, by resource (cpu, memory).`, (key) =>
    key === 'cpu' || key === 'memory' || key === 'ephemeral-storage'
      ? undefined
      : { code: 'enum', text: `${key} is none of cpu, memory, ephemeral-storage; write one of them` },
  );

const resources = message('ResourceRequirements', {
  requests: quantities('What is set aside'),
  limits: quantities('What must not be exceeded'),
});

const autoscaling = message(
  'Autoscaling',
  {
    enabled: flag('Whether a HorizontalPodAutoscaler decides the number of replicas.'),
    minReplicas: integer('Fewest replicas.', { min: 1 }),
    maxReplicas: integer('Most replicas.', { min: 1 }),
    targetCpuUtilization: integer('Percent of the requested CPU to aim at.', { min: 1, max: 100 }),
  },
  { instead: { min: 'minReplicas', max: 'maxReplicas', autoscaleMin: 'minReplicas', autoscaleMax: 'maxReplicas' } },
);

/** What every Deployment of the installation has. */
const deployed = {
  enabled: flag('Whether the component is installed.'),
  replicas: integer('Replicas, where no autoscaler decides.', { min: 1 }),
  autoscaling: nested(autoscaling, 'How the number of replicas follows the load.'),
  resources: nested(resources, 'CPU and memory of its container.'),
  logLevel: choice('Least severe messages logged.', ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
  env: map(text('A value.'), 'More variables of its environment.'),
  podAnnotations: map(text('A value.'), 'More annotations of its pods.'),
  nodeSelector: map(text('A value.'), 'Labels of the nodes that it may run on.'),
  tolerations: list(freeForm(''), 'Taints of nodes that it puts up with, as in a pod.'),
  priorityClassName: text('Its priority class.'),
};

const component = message('Component', deployed, { instead: { replicaCount: 'replicas', enable: 'enabled' } });

const servicePort = message('ServicePort', {
  name: text('Its name; the protocol goes by it.'),
  port: portNumber('Port of the Service.'),
  targetPort: portNumber('Port that the gateway listens on.'),
  nodePort: portNumber('Port on every node; unset: the cluster chooses.'),
});

const gateway = message('Gateway', {
  ...deployed,
  serviceType: choice('How the Service is reached.', ['LoadBalancer', 'NodePort', 'ClusterIP']),
  serviceAnnotations: map(text('A value.'), 'Annotations of the Service, which load balancers read.'),
  externalTrafficPolicy: choice('Local keeps the addresses of clients.', ['Cluster', 'Local']),
  ports: list(servicePort, 'Ports of the Service.', { min: 1 }),
});

const proxy = message(
  'Proxy',
  {
    resources: nested(resources, "CPU and memory of pods' proxies."),
    logLevel: deployed.logLevel,
    nativeSidecar: flag(
      'Whether proxies are init containers that stay (restartPolicy: Always) or ordinary containers; unset: as the cluster can.',
    ),
    holdApplicationUntilProxyStarts: flag('In ordinary containers: the application starts when its proxy is ready.'),
    includeIPRanges: text('Ranges of addresses that are intercepted on the way out; `*`: all.'),
    excludeIPRanges: text('Ranges of addresses that are not.'),
    includeInboundPorts: text('Ports that are intercepted on the way in, by commas; `*`: all.'),
    excludeInboundPorts: text('Ports that are not.'),
    includeOutboundPorts: text('Ports that are intercepted on the way out whatever their address, by commas.'),
    excludeOutboundPorts: text('Ports that are not.'),
    dnsCapture: flag('Whether names of the mesh are answered by the proxy.'),
    cni: flag('Whether redirect rules are written by the CNI plugin (deploy/cni), and pods need no privilege.'),
  },
  { instead: { nativeSidecars: 'nativeSidecar' } },
);

/** All of it. What is not said is as the profile says. */
export const installationValues = message(
  'InstallationValues',
  {
    profile: choice('Which defaults the rest is laid over.', PROFILES),
    revision: text('Name of this control plane, where several run side by side.', {
      format: (value) =>
        REVISION.test(value)
          ? undefined
          : { code: 'revision', text: `revision ${value} is no DNS label of up to 42 characters; write such as 1-2-0` },
    }),
    hub: text('Where the images are: a registry and a path.'),
    tag: text('Version of the images.'),
    imagePullPolicy: choice('When images are fetched.', ['Always', 'IfNotPresent', 'Never']),
    imagePullSecrets: list(text('The name of a Secret.'), 'Secrets to fetch images with.'),
    bindAddress: choice('What the control plane listens on; `::` where pods have IPv6 addresses.', ['0.0.0.0', '::']),
    trustDomain: text('Trust domain of the mesh.'),
    networkPolicy: flag('Whether NetworkPolicies say who may reach which port of the control plane.'),
    meshConfig: freeForm('MeshConfig, as the ConfigMap `istio` has it.'),
    components: nested(
      message('Components', {
        galley: nested(component, 'Configuration, validation and injection.'),
        pilot: nested(component, 'Discovery and push.'),
        citadel: nested(component, 'Certificates.'),
      }),
      'The services of the control plane.',
    ),
    gateways: nested(
      message('Gateways', { ingress: nested(gateway, 'The gateway istio-ingressgateway.') }),
      'Gateways that are installed with it.',
    ),
    proxy: nested(proxy, 'What proxies of pods get where a pod says nothing else.'),
  },
  { instead: { image: 'tag', version: 'tag', mesh: 'meshConfig', gateway: 'gateways', set: 'profile' } },
);
