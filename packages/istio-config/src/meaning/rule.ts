// Meaning: what the rules of a kind get and report to; small checks that several kinds share.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { dnsNameFault, isDnsLabel, isIpAddress, wildcardNameFault } from '../declare/formats.js';
import { protocolFromName } from '../port-protocol.js';
import type { FieldPath } from '../problem.js';

/** What is known of the document whose spec is checked. */
export interface RuleContext {
  readonly namespace: string;
  readonly name: string;
  /** Root namespace of the mesh. */
  readonly rootNamespace: string;
}

/** Checks the meaning of one spec. Paths that it reports are relative to the spec. */
export type MeaningRule<Spec> = (spec: Loose<Spec>, faults: FaultList, context: RuleContext) => void;

/** The items that were right in structure, with their index. */
export function* present<T>(list: readonly (T | undefined)[] | undefined): Generator<[number, T]> {
  if (!list) return;
  for (const [index, item] of list.entries()) if (item !== undefined) yield [index, item];
}

/** The entries of a map that were right in structure. */
export function* presentEntries<T>(map: Readonly<Record<string, T | undefined>> | undefined): Generator<[string, T]> {
  if (!map) return;
  for (const [key, value] of Object.entries(map)) if (value !== undefined) yield [key, value];
}

/** Reports the second and later of equal items. `keyOf` gives what has to be unique, or undefined to leave an item out. */
export function checkUnique<T>(
  list: readonly (T | undefined)[] | undefined,
  keyOf: (item: T) => string | undefined,
  faults: FaultList,
  report: (index: number, key: string) => { readonly path: FieldPath; readonly message: string },
): void {
  const seen = new Set<string>();
  for (const [index, item] of present(list)) {
    const key = keyOf(item);
    if (key === undefined) continue;
    if (seen.has(key)) {
      const { path, message } = report(index, key);
      faults.error(path, 'duplicate', message);
    }
    seen.add(key);
  }
}

/** Weights of destinations: with several the sum must be above 0. One with 0 alone still gets everything (Istio). */
export function checkWeights(
  routes: readonly ({ readonly weight?: number | undefined } | undefined)[] | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  if (!routes || routes.length < 2) return;
  let total = 0;
  for (const [index, route] of routes.entries()) {
    // A destination that was wrong has been reported; its weight is not known, so the sum says nothing.
    if (!route || ('weight' in route && route.weight === undefined)) return;
    total += route.weight ?? 0;
    if (total > 0xffff_ffff) {
      faults.error(
        [...path, index, 'weight'],
        'weights',
        'the weights sum to more than 4294967295; write smaller ones',
      );
      return;
    }
  }
  if (total === 0) {
    faults.error(path, 'weights', 'the weights of the destinations sum to 0; give at least one a weight above 0');
  }
}

/** What is wrong with a host that may be a wildcard or an address. */
export function hostOrAddressFault(host: string): string | undefined {
  if (isIpAddress(host)) return undefined;
  const wrong = wildcardNameFault(host);
  return wrong && `host \`${host}\` ${wrong}; write a DNS name, a wildcard such as *.example.com, or an address`;
}

/** Protocols of Istio that the mesh does not speak. */
const UNSUPPORTED_PROTOCOLS = ['HTTP_PROXY', 'HBONE'];

const PROTOCOLS = ['HTTP', 'HTTPS', 'HTTP2', 'GRPC', 'GRPC-WEB', 'MONGO', 'REDIS', 'MYSQL', 'TCP', 'TLS', 'UDP'];

/** The protocol of a port as Gateway, Sidecar and ServiceEntry write it. */
export function checkProtocol(protocol: string | undefined, path: FieldPath, faults: FaultList): void {
  if (protocol === undefined || protocolFromName(protocol)) return;
  if (UNSUPPORTED_PROTOCOLS.includes(protocol.toUpperCase())) {
    faults.error(path, 'unsupported', `\`${protocol}\` is not supported yet; write one of ${PROTOCOLS.join(', ')}`);
    return;
  }
  faults.error(path, 'protocol', `\`${protocol}\` is not a protocol; write one of ${PROTOCOLS.join(', ')}`);
}

/** Gateways: `mesh`, NAME, NAMESPACE/NAME; NAME.NAMESPACE.svc.cluster.local as it was written once. */
export function checkGatewayNames(
  names: readonly (string | undefined)[] | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  for (const [index, name] of present(names)) {
    const [own = '', other, ...rest] = name.split('/');
    const isName =
      other === undefined ? dnsNameFault(own) === undefined : isDnsLabel(own) && isDnsLabel(other) && rest.length === 0;
    if (isName && other === undefined && own.includes('.')) {
      const [gateway, namespace] = own.split('.');
      const message = `\`${name}\` is a gateway's name as it was written once; write ${namespace}/${gateway}`;
      faults.warning([...path, index], 'deprecated', message);
    }
    if (isName) continue;
    const advice = 'write NAME, NAMESPACE/NAME, or mesh for all sidecars';
    faults.error([...path, index], 'reference', `\`${name}\` is not the name of a gateway; ${advice}`);
  }
}

/** A selector that selects nothing in particular although it is there. */
export function checkSelector(selector: object | undefined, path: FieldPath, faults: FaultList): void {
  if (!selector || Object.values(selector).some((labels) => labels && Object.keys(labels).length > 0)) return;
  faults.warning(
    path,
    'empty-selector',
    'the selector has no labels, so it selects everything; add labels or remove it',
  );
}

/** A server name that the mesh itself makes, `outbound_.PORT_.SUBSET_.HOST`: gateways between networks route by it. */
export function isSniName(name: string): boolean {
  return /^outbound_\.\d+_\../.test(name);
}

/** Whether nothing in a value was wrong and taken out. */
export function isWhole(value: unknown): boolean {
  if (value === undefined) return false;
  return typeof value !== 'object' || value === null || Object.values(value).every(isWhole);
}
