// Meaning of the Kubernetes kinds of local mode.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { checkUnique, type MeaningRule, present } from '../meaning/rule.js';
import { protocolOfPort } from '../port-protocol.js';
import type { FieldPath } from '../problem.js';
import { selectorMatches } from '../selector.js';
import type { DeploymentSpec, ServiceSpec } from './kinds.js';
import { LOCAL_COMMAND_ANNOTATION, localCommandFault } from './local-command.js';
import { parsePodField } from './pod-field.js';

/** Fields of a Service that would change who reaches it, or how, in a cluster; not what they say by default. */
const UNUSED: Readonly<Record<string, string>> = {
  allocateLoadBalancerNodePorts: 'there is no load balancer',
  clusterIPs: 'each pod has addresses of its own for services',
  externalIPs: 'services are reached inside the mesh and by a Gateway',
  externalName: 'names of other services are not resolved',
  externalTrafficPolicy: 'services are reached inside the mesh and by a Gateway',
  healthCheckNodePort: 'there is no load balancer',
  internalTrafficPolicy: 'there is one machine',
  ipFamilies: 'addresses are IPv4',
  ipFamilyPolicy: 'addresses are IPv4',
  loadBalancerClass: 'there is no load balancer',
  loadBalancerIP: 'there is no load balancer',
  loadBalancerSourceRanges: 'there is no load balancer',
  publishNotReadyAddresses: 'pods that are not ready get no traffic',
  sessionAffinity: 'a DestinationRule says how endpoints are picked',
  sessionAffinityConfig: 'a DestinationRule says how endpoints are picked',
  trafficDistribution: 'there is one machine',
};

/** What many files hold because it is the default. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  externalTrafficPolicy: 'Cluster',
  internalTrafficPolicy: 'Cluster',
  publishNotReadyAddresses: false,
  sessionAffinity: 'None',
};

/** Says of each field that local mode does not act on what happens in its place. */
function checkUnused(spec: Loose<ServiceSpec>, faults: FaultList): void {
  const warn = (path: FieldPath, reason: string) => {
    const message = `\`${path.at(-1)}\` is accepted, but not acted on in local mode (${reason}); it may stay`;
    faults.warning(path, 'not-acted-on', message, 'key');
  };
  for (const [field, value] of Object.entries(spec)) {
    const reason = Object.hasOwn(UNUSED, field) ? UNUSED[field] : undefined;
    if (reason && !(field in DEFAULTS && DEFAULTS[field] === value)) warn([field], reason);
  }
  const { clusterIP, type } = spec;
  if (clusterIP === 'None') warn(['clusterIP'], 'a headless service is balanced like any other');
  else if (clusterIP) warn(['clusterIP'], 'each pod has addresses of its own for services');
  if (type === 'NodePort' || type === 'LoadBalancer') {
    warn(['type'], 'services are reached inside the mesh and by a Gateway');
  }
  for (const [index, port] of present(spec.ports)) {
    if ('nodePort' in port) warn(['ports', index, 'nodePort'], 'no port of the machine leads to it');
    const { appProtocol, port: number } = port;
    if (!appProtocol || number === undefined || protocolOfPort({ appProtocol, port: 0 }) !== 'auto') continue;
    const message = `\`${appProtocol}\` is no protocol that the mesh knows, so it is as if there were none; write one such as http`;
    faults.warning(['ports', index, 'appProtocol'], 'protocol', message);
  }
}

export const checkService: MeaningRule<ServiceSpec> = (spec, faults) => {
  const { ports, selector, type } = spec;
  checkUnused(spec, faults);
  if (type === 'ExternalName') {
    faults.error(
      ['type'],
      'unsupported',
      'ExternalName is not supported yet; remove the Service, or write a ServiceEntry',
    );
  }
  if (!ports || ports.length === 0) faults.error(['ports'], 'required', '`ports` is required in a Service; add one');
  checkUnique(
    ports,
    ({ port, protocol = 'TCP' }) => (port ? `${port}/${protocol}` : undefined),
    faults,
    (index, port) => ({
      path: ['ports', index, 'port'],
      message: `port ${port} is there twice; keep one`,
    }),
  );
  checkUnique(
    ports,
    ({ name }) => name,
    faults,
    (index, name) => ({
      path: ['ports', index, 'name'],
      message: `port name \`${name}\` is there twice; give each port its own`,
    }),
  );
  for (const [index, port] of present(ports)) {
    if (ports && ports.length > 1 && !('name' in port)) {
      faults.error(['ports', index], 'required', 'with several ports each needs a `name`; add it');
    }
    if (port.protocol === 'UDP' || port.protocol === 'SCTP') {
      const message = `${port.protocol} is accepted, but not acted on (the mesh carries TCP); it may stay`;
      faults.warning(['ports', index, 'protocol'], 'not-acted-on', message);
    }
  }
  if (!selector || Object.keys(selector).length === 0) {
    faults.warning([], 'empty-selector', 'the Service has no selector, so it has no endpoints in local mode; add one');
  }
};

export const checkDeployment: MeaningRule<DeploymentSpec> = (spec, faults) => {
  const { selector, template } = spec;
  const labels = definedLabels(template?.metadata?.labels);
  const wanted = definedLabels(selector?.matchLabels);
  if (selector && Object.keys(wanted).length === 0 && !selector.matchExpressions) {
    faults.error(['selector'], 'required', 'the selector has no labels; add `matchLabels`');
  } else if (template && !selectorMatches(wanted, labels)) {
    const message = 'the selector does not match the labels of the template; make `template.metadata.labels` agree';
    faults.error(['selector', 'matchLabels'], 'selector', message);
  }
  if (selector?.matchExpressions && selector.matchExpressions.length > 0) {
    const message =
      '`matchExpressions` is accepted, but not acted on (in local mode a Deployment has its own pods only); it may stay';
    faults.warning(['selector', 'matchExpressions'], 'not-acted-on', message, 'key');
  }
  checkContainers(spec, faults);
  const command = template?.metadata?.annotations?.[LOCAL_COMMAND_ANNOTATION];
  const wrong = command === undefined ? undefined : localCommandFault(command);
  if (wrong) {
    faults.error(['template', 'metadata', 'annotations', LOCAL_COMMAND_ANNOTATION], 'format', wrong);
  }
};

function isPodFieldSource(valueFrom: unknown): boolean {
  const { fieldRef } = (valueFrom ?? {}) as { fieldRef?: { fieldPath?: unknown } | null };
  return typeof fieldRef?.fieldPath === 'string' && parsePodField(fieldRef.fieldPath) !== undefined;
}

function definedLabels(labels: Readonly<Record<string, string | undefined>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(labels ?? {}).filter((entry): entry is [string, string] => !!entry[1]));
}

function checkContainers({ template }: Loose<DeploymentSpec>, faults: FaultList): void {
  const base = ['template', 'spec', 'containers'];
  const containers = template?.spec?.containers;
  checkUnique(
    containers,
    ({ name }) => name,
    faults,
    (index, name) => ({
      path: [...base, index, 'name'],
      message: `container \`${name}\` is there twice; give each its own name`,
    }),
  );
  const names = [...present(containers)].flatMap(([, { ports }]) => [...present(ports)].map(([, { name }]) => name));
  for (const [index, { ports, env, readinessProbe }] of present(containers)) {
    const path = [...base, index];
    checkUnique(
      ports,
      ({ name }) => name,
      faults,
      (at, name) => ({
        path: [...path, 'ports', at, 'name'],
        message: `port name \`${name}\` is there twice; give each port its own`,
      }),
    );
    for (const [at, variable] of present(env)) {
      if (!('valueFrom' in variable) || isPodFieldSource(variable.valueFrom)) continue;
      const message =
        'this `valueFrom` is accepted, but not acted on in local mode (only a `fieldRef` to a name, namespace, label, annotation, ' +
        'service account, node or address of the pod is), so the variable is not set; write `value` if it is needed';
      faults.warning([...path, 'env', at, 'valueFrom'], 'not-acted-on', message, 'key');
    }
    if (!readinessProbe) continue;
    const probed = readinessProbe.httpGet?.port ?? readinessProbe.tcpSocket?.port;
    if (typeof probed === 'string' && !names.includes(probed)) {
      const field = readinessProbe.httpGet ? 'httpGet' : 'tcpSocket';
      const message = `no container has a port named \`${probed}\`; use a name or a number of its ports`;
      faults.error([...path, 'readinessProbe', field, 'port'], 'reference', message);
    }
    for (const field of ['exec', 'grpc'] as const) {
      if (!(field in readinessProbe)) continue;
      const message = `\`${field}\` is accepted, but not acted on in local mode; use httpGet or tcpSocket`;
      faults.warning([...path, 'readinessProbe', field], 'not-acted-on', message, 'key');
    }
  }
}
