// Meaning of the Kubernetes kinds of local mode.
import { isDeepStrictEqual } from 'node:util';
import { type Loose, withoutEffectFault } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { checkUnique, type MeaningRule, present } from '../meaning/rule.js';
import { protocolOfPort } from '../port-protocol.js';
import { selectorMatches } from '../selector.js';
import type { DeploymentSpec, ServiceSpec } from './kinds.js';
import { LOCAL_COMMAND_ANNOTATION, localCommandFault, parseLocalCommand } from './local-command.js';
import { parsePodField } from './pod-field.js';

/** Says of the declared fields whose values local mode does not act on what happens in their place. */
function checkValues({ clusterIP, type, ports }: Loose<ServiceSpec>, faults: FaultList): void {
  if (clusterIP && clusterIP !== 'None') {
    faults.add([withoutEffectFault(['clusterIP'], 'each pod has addresses of its own for services')]);
  }
  if (type === 'NodePort' || type === 'LoadBalancer') {
    faults.add([withoutEffectFault(['type'], 'services are reached inside the mesh and by a Gateway')]);
  }
  for (const [index, { appProtocol, port: number }] of present(ports)) {
    if (!appProtocol || number === undefined || protocolOfPort({ appProtocol, port: 0 }) !== 'auto') continue;
    const message = `\`${appProtocol}\` is no protocol that the mesh knows, so it is as if there were none; write one such as http`;
    faults.warning(['ports', index, 'appProtocol'], 'protocol', message);
  }
}

export const checkService: MeaningRule<ServiceSpec> = (spec, faults) => {
  const { ports, selector, type } = spec;
  checkValues(spec, faults);
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
  checkCommands(spec, faults);
  const command = template?.metadata?.annotations?.[LOCAL_COMMAND_ANNOTATION];
  const wrong = command === undefined ? undefined : localCommandFault(command);
  if (wrong) {
    faults.error(['template', 'metadata', 'annotations', LOCAL_COMMAND_ANNOTATION], 'format', wrong);
  }
};

/** A container's `command` and `args` are not run; where the annotation says the same they hold all the same. */
function checkCommands({ template }: Loose<DeploymentSpec>, faults: FaultList): void {
  const run = parseLocalCommand(template?.metadata?.annotations?.[LOCAL_COMMAND_ANNOTATION] ?? '');
  for (const [index, { command, args }] of present(template?.spec?.containers)) {
    if (isDeepStrictEqual([...(command ?? []), ...(args ?? [])], run)) continue;
    for (const [field, words] of Object.entries({ command, args })) {
      if (!words || words.length === 0) continue;
      const path = ['template', 'spec', 'containers', index, field];
      faults.add([withoutEffectFault(path, `the annotation ${LOCAL_COMMAND_ANNOTATION} says what runs`)]);
    }
  }
}

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
  }
}
