// Kubernetes: a validated Deployment -> what local mode runs; what it cannot play is a problem that names the field.

import {
  type ConfigObject,
  type Container,
  type FieldPath,
  LOCAL_COMMAND_ANNOTATION,
  type PodTemplate,
  PROXY_CONFIG_ANNOTATION,
  type Probe as ProbeSpec,
  parseLocalCommand,
  parseMeshConfig,
  parsePodField,
} from '@lateen/istio-config';
import { parse } from 'yaml';
import { DEFAULT_PROBE, type Probe } from '../supervisor/pods/probe.js';
import type { KubeContainerPort, KubeDeployment, KubeEnvValue, KubePodTemplate } from './objects.js';

/** Reports what local mode cannot play. */
export type Report = (path: FieldPath, severity: 'error' | 'warning', code: string, message: string) => void;

const DEFAULT_GRACE_SECONDS = 30;
const POD = ['spec', 'template', 'spec'] as const;
const CONTAINER = [...POD, 'containers', 0] as const;
const ANNOTATIONS = ['spec', 'template', 'metadata', 'annotations'] as const;

/** Reads a deployment, or undefined after an error was reported. */
export function readDeployment(
  object: ConfigObject<'Deployment'>,
  directory: string,
  report: Report,
): KubeDeployment | undefined {
  const { spec, metadata } = object;
  if (spec.replicas !== undefined && spec.replicas < 0) {
    report(['spec', 'replicas'], 'error', 'range', `${spec.replicas} is negative; write 0 or more`);
    return undefined;
  }
  const template = readTemplate(spec.template, report);
  if (template === undefined) return undefined;
  const { namespace, name, labels } = metadata;
  return { namespace, name, labels, replicas: spec.replicas ?? 1, template, directory };
}

function readTemplate(template: PodTemplate, report: Report): KubePodTemplate | undefined {
  const annotations = template.metadata?.annotations ?? {};
  const [container, second] = template.spec.containers;
  if (second !== undefined) {
    const message = 'local mode runs one container a pod; move the others to Deployments of their own';
    report([...POD, 'containers', 1], 'error', 'unsupported', message);
  }
  const command = parseLocalCommand(annotations[LOCAL_COMMAND_ANNOTATION] ?? '');
  if (command === undefined) {
    const message =
      `local mode has no containers: add the annotation ${LOCAL_COMMAND_ANNOTATION} with the command to run, ` +
      `for example '["node", "server.js"]'`;
    report(ANNOTATIONS, 'error', 'required', message);
  }
  checkProxyConfig(annotations[PROXY_CONFIG_ANNOTATION], report);
  if (container === undefined || second !== undefined || command === undefined) return undefined;

  const ports = (container.ports ?? [])
    .filter((each) => (each.protocol ?? 'TCP') === 'TCP')
    .map((each) => ({ port: each.containerPort, name: each.name ?? '' }));
  const readinessProbe = readProbe(container.readinessProbe, ports, report);
  if (readinessProbe === undefined) return undefined;

  const { serviceAccountName, serviceAccount, terminationGracePeriodSeconds } = template.spec;
  return {
    labels: template.metadata?.labels ?? {},
    annotations,
    serviceAccount: serviceAccountName || serviceAccount || 'default',
    containerName: container.name,
    command,
    env: readEnv(container),
    ports,
    readinessProbe,
    terminationGraceMs: (terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS) * 1000,
  };
}

/** Settings of this pod's proxy alone, judged as those of the mesh are. */
function checkProxyConfig(text: string | undefined, report: Report): void {
  if (text === undefined) return;
  const place = [...ANNOTATIONS, PROXY_CONFIG_ANNOTATION];
  let defaultConfig: unknown;
  try {
    defaultConfig = parse(text);
  } catch (error) {
    report(place, 'error', 'format', `the value is not YAML: ${(error as Error).message}`);
    return;
  }
  const content = JSON.stringify({ defaultConfig });
  for (const { severity, code, path, message } of parseMeshConfig({ name: PROXY_CONFIG_ANNOTATION, content })
    .problems) {
    report(place, severity, code, `${path.replace('defaultConfig.', '')}: ${message}`);
  }
}

/** Variables whose value local mode cannot know are left out; validation has warned of them. */
function readEnv(container: Container): KubePodTemplate['env'] {
  return (container.env ?? []).flatMap((variable): { name: string; value: KubeEnvValue }[] => {
    const valueFrom = variable.valueFrom as { fieldRef?: { fieldPath?: unknown } } | null | undefined;
    if (valueFrom === undefined || valueFrom === null)
      return [{ name: variable.name, value: { text: variable.value ?? '' } }];
    const path = valueFrom.fieldRef?.fieldPath;
    const field = typeof path === 'string' ? parsePodField(path) : undefined;
    return field === undefined ? [] : [{ name: variable.name, value: { field } }];
  });
}

/** Probes of other kinds than httpGet and tcpSocket were warned of; a TCP connect takes their place. */
function readProbe(
  spec: ProbeSpec | undefined,
  ports: readonly KubeContainerPort[],
  report: Report,
): Probe | undefined {
  if (spec === undefined) return DEFAULT_PROBE;
  const path = [...CONTAINER, 'readinessProbe'];
  const timing = {
    initialDelayMs: (spec.initialDelaySeconds ?? 0) * 1000,
    periodMs: (spec.periodSeconds ?? DEFAULT_PROBE.periodMs / 1000) * 1000,
    timeoutMs: (spec.timeoutSeconds ?? DEFAULT_PROBE.timeoutMs / 1000) * 1000,
    failureThreshold: spec.failureThreshold ?? DEFAULT_PROBE.failureThreshold,
    successThreshold: spec.successThreshold ?? DEFAULT_PROBE.successThreshold,
  };
  const action = spec.httpGet ?? spec.tcpSocket;
  if (action === undefined) return { ...DEFAULT_PROBE, ...timing };
  const field = spec.httpGet === undefined ? 'tcpSocket' : 'httpGet';
  const named = typeof action.port === 'number' ? action.port : ports.find(({ name }) => name === action.port)?.port;
  if (named === undefined || !ports.some(({ port }) => port === named)) {
    const message = `port ${JSON.stringify(action.port)} is not one of the container's \`ports\`; add it there`;
    report([...path, field, 'port'], 'error', 'reference', message);
    return undefined;
  }
  if (spec.httpGet === undefined) return { ...DEFAULT_PROBE, ...timing, containerPort: named };
  if (spec.httpGet.scheme === 'HTTPS') {
    const message = 'local mode probes by plain HTTP; use HTTP or tcpSocket';
    report([...path, 'httpGet', 'scheme'], 'error', 'unsupported', message);
    return undefined;
  }
  return {
    ...timing,
    kind: 'http',
    containerPort: named,
    path: spec.httpGet.path ?? '/',
    headers: Object.fromEntries((spec.httpGet.httpHeaders ?? []).map(({ name, value }) => [name, value ?? ''])),
  };
}
