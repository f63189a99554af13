// Objects → problems between them: duplicates, references that lead nowhere, policies that compete.
import { fullGatewayName, hostMatches, resolveShortHost } from './host.js';
import { type ConfigObject, objectKey, objectsOfKind } from './object.js';
import { locateField } from './parse.js';
import { type FieldPath, formatPath, type Problem, type Severity } from './problem.js';

/** What else is known beyond the objects that are checked. */
export interface ValidationContext {
  /** Objects that are stored already; one with the key of a checked object is replaced by it. */
  readonly existing?: readonly ConfigObject[];
  /** Suffix of service names. Default `cluster.local`. */
  readonly domainSuffix?: string;
}

/**
 * Checks what objects mean to each other. Problems are about `objects` only, never about what exists. References to
 * things that are not there are warnings, because things may be applied in any order.
 */
export function validateObjects(objects: readonly ConfigObject[], context: ValidationContext = {}): Problem[] {
  const problems: Problem[] = [];
  const report: Report = (object, path, severity, code, message) => {
    const { kind, metadata, source } = object;
    const { line, column } = locateField(object, path);
    const { namespace, name } = metadata;
    problems.push({
      file: source.file,
      line,
      column,
      kind,
      namespace,
      name,
      path: formatPath(path),
      severity,
      code,
      message,
    });
  };
  const keys = new Set(objects.map(objectKey));
  const all = [...(context.existing ?? []).filter((object) => !keys.has(objectKey(object))), ...objects];
  checkDuplicates(objects, report);
  checkSubsets(objects, all, context.domainSuffix, report);
  checkGateways(objects, all, report);
  checkCompetition(objects, all, report);
  checkPorts(objects, all, report);
  return problems;
}

type Report = (object: ConfigObject, path: FieldPath, severity: Severity, code: string, message: string) => void;

function place({ source }: ConfigObject): string {
  // What came from an API server has no lines.
  return source.line > 0 ? `${source.file}:${source.line}` : source.file;
}

function checkDuplicates(objects: readonly ConfigObject[], report: Report): void {
  const first = new Map<string, ConfigObject>();
  for (const object of objects) {
    const key = objectKey(object);
    const earlier = first.get(key);
    if (!earlier) first.set(key, object);
    else
      report(
        object,
        ['metadata', 'name'],
        'error',
        'duplicate',
        `${key} is also at ${place(earlier)}; keep one of them`,
      );
  }
}

/** A route to a subset that no DestinationRule defines answers 503. */
function checkSubsets(
  objects: readonly ConfigObject[],
  all: readonly ConfigObject[],
  domainSuffix: string | undefined,
  report: Report,
): void {
  const rules = objectsOfKind(all, 'DestinationRule').map(({ spec, metadata }) => ({
    host: resolveShortHost(spec.host, metadata.namespace, domainSuffix),
    subsets: new Set((spec.subsets ?? []).map(({ name }) => name)),
  }));
  for (const service of objectsOfKind(objects, 'VirtualService')) {
    const namespace = service.metadata.namespace;
    for (const [index, rule] of (service.spec.http ?? []).entries()) {
      for (const [at, { destination }] of (rule.route ?? []).entries()) {
        const { subset } = destination;
        if (subset === undefined) continue;
        const host = resolveShortHost(destination.host, namespace, domainSuffix);
        const isDefined = rules.some((one) => hostMatches(one.host, host) && one.subsets.has(subset));
        if (isDefined) continue;
        const path = ['spec', 'http', index, 'route', at, 'destination', 'subset'];
        const advice = 'add a DestinationRule with it, or requests will get 503';
        report(
          service,
          path,
          'warning',
          'reference',
          `no DestinationRule defines subset \`${subset}\` of ${host}; ${advice}`,
        );
      }
    }
  }
}

function checkGateways(objects: readonly ConfigObject[], all: readonly ConfigObject[], report: Report): void {
  const gateways = new Set(
    objectsOfKind(all, 'Gateway').map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
  );
  for (const service of objectsOfKind(objects, 'VirtualService')) {
    for (const [index, name] of (service.spec.gateways ?? []).entries()) {
      if (name === 'mesh') continue;
      const full = fullGatewayName(name, service.metadata.namespace);
      if (gateways.has(full)) continue;
      const message = `there is no Gateway ${full}; add it, or correct the name`;
      report(service, ['spec', 'gateways', index], 'warning', 'reference', message);
    }
  }
}

/** Policies of which only one can hold for the same scope. */
function checkCompetition(objects: readonly ConfigObject[], all: readonly ConfigObject[], report: Report): void {
  const scopes = new Map<string, ConfigObject>();
  for (const object of all) {
    const scope = scopeOf(object);
    if (scope === undefined) continue;
    const earlier = scopes.get(scope);
    if (!earlier) {
      scopes.set(scope, object);
      continue;
    }
    if (!objects.includes(object) || objectKey(earlier) === objectKey(object)) continue;
    const message = `${objectKey(earlier)} is for the same workloads, and only the oldest holds; keep one of them`;
    report(object, ['metadata', 'name'], 'warning', 'conflict', message);
  }
}

function scopeOf(object: ConfigObject): string | undefined {
  const { kind } = object;
  if (kind === 'PeerAuthentication' || kind === 'Telemetry') {
    const labels = object.spec.selector?.matchLabels;
    if (kind === 'Telemetry' && (object.spec.targetRef || object.spec.targetRefs)) return undefined;
    return `${kind}/${object.metadata.namespace}/${labelsText(labels)}`;
  }
  if (kind === 'Sidecar')
    return `${kind}/${object.metadata.namespace}/${labelsText(object.spec.workloadSelector?.labels)}`;
  return undefined;
}

function labelsText(labels: Readonly<Record<string, string>> = {}): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A Service whose targetPort is a name that no pod of a Deployment that it selects has. */
function checkPorts(objects: readonly ConfigObject[], all: readonly ConfigObject[], report: Report): void {
  const deployments = objectsOfKind(all, 'Deployment');
  for (const service of objectsOfKind(objects, 'Service')) {
    const selector = Object.entries(service.spec.selector ?? {});
    if (selector.length === 0) continue;
    const selected = deployments.filter(({ metadata, spec }) => {
      const labels = spec.template.metadata?.labels ?? {};
      return (
        metadata.namespace === service.metadata.namespace && selector.every(([key, value]) => labels[key] === value)
      );
    });
    const names = selected.flatMap(({ spec }) => spec.template.spec.containers.flatMap(({ ports }) => ports ?? []));
    for (const [index, { targetPort }] of (service.spec.ports ?? []).entries()) {
      if (typeof targetPort !== 'string' || selected.length === 0) continue;
      if (names.some(({ name }) => name === targetPort)) continue;
      const message = `no container of the selected pods has a port named \`${targetPort}\`; use one of their names`;
      report(service, ['spec', 'ports', index, 'targetPort'], 'error', 'reference', message);
    }
  }
}
