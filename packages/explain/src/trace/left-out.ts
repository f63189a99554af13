// Trace: rules and VirtualServices that are nothing to this caller, and so are in none of its routes.

import {
  type ConfigObject,
  compareHostSpecificity,
  fullGatewayName,
  type HttpMatchRequest,
  hostMatches,
  nearestWords,
  resolveShortHost,
  selectorMatches,
} from '@lateen/istio-config';
import {
  boundGateways,
  configsOf,
  exportToOf,
  isRuleExportedTo,
  type MeshSnapshot,
  type Workload,
} from '@lateen/translate';
import type { NotMatched } from '../explanation.js';
import { because, type Place, placeName } from '../places/places.js';

type VirtualService = ConfigObject<'VirtualService'>;

/** Who calls, and at which gateway. */
export interface TraceClient {
  readonly workload: Workload;
  /** Full names of the gateways that its proxy serves; `mesh` for a sidecar. */
  readonly gateways: ReadonlySet<string>;
  /** The port that conditions on ports are about. */
  readonly port: number;
}

function missed(place: Place, condition: string, expected: string, actual: string): NotMatched {
  return { rule: placeName(place), condition, expected, actual, because: because(place, 'notMatched') };
}

/** Why a condition of a rule is in no route of the client; undefined where it could be in one. */
function sourceFailure(place: Place, match: HttpMatchRequest, client: TraceClient): NotMatched | undefined {
  const { gateways = [], sourceLabels, sourceNamespace, port } = match;
  const { namespace, labels } = client.workload;
  const at = (...field: string[]): Place => ({ object: place.object, path: [...place.path, ...field] });
  const rule = placeName(place);
  if (gateways.length > 0) {
    const full = gateways.map((gateway) => fullGatewayName(gateway, place.object.metadata.namespace));
    if (!full.some((gateway) => client.gateways.has(gateway))) {
      return { ...missed(at('gateways'), 'gateways', full.join(', '), [...client.gateways].join(', ')), rule };
    }
  } else {
    for (const [label, value] of Object.entries(sourceLabels ?? {})) {
      if (selectorMatches({ [label]: value }, labels)) continue;
      const actual = labels[label] === undefined ? 'absent' : JSON.stringify(labels[label]);
      return { ...missed(at('sourceLabels', label), `sourceLabels.${label}`, JSON.stringify(value), actual), rule };
    }
    if (sourceNamespace && sourceNamespace !== namespace) {
      return { ...missed(at('sourceNamespace'), 'sourceNamespace', sourceNamespace, namespace), rule };
    }
  }
  if (port !== undefined && port !== client.port) {
    return { ...missed(at('port'), 'port', String(port), String(client.port)), rule };
  }
  return undefined;
}

/** Conditions of a VirtualService's rules that are in no route of the client, by `http index/match index`. */
export function rulesLeftOut(object: VirtualService, client: TraceClient): Map<string, NotMatched> {
  const found = new Map<string, NotMatched>();
  for (const [index, rule] of (object.spec.http ?? []).entries()) {
    for (const [at, match] of (rule.match ?? []).entries()) {
      const failure = sourceFailure({ object, path: ['spec', 'http', index, 'match', at] }, match, client);
      if (failure !== undefined) found.set(`${index}/${at}`, failure);
    }
  }
  return found;
}

/** What was called. */
export interface CalledHost {
  /** The service's full name, or what the Host header says. */
  readonly host: string;
  /** The service's short name, where it is one. */
  readonly serviceName: string | undefined;
  /** Nobody has the host: VirtualServices for one that is nearly it may be meant. */
  readonly unknown: boolean;
}

/** VirtualServices about the host that the client does not follow, with the reason. */
export function virtualServicesLeftOut(
  snapshot: MeshSnapshot,
  { host, serviceName, unknown }: CalledHost,
  client: TraceClient,
  followed: ReadonlySet<ConfigObject>,
): NotMatched[] {
  return configsOf(snapshot, 'VirtualService').flatMap((object) => {
    if (followed.has(object)) return [];
    const { namespace } = object.metadata;
    const hosts = (object.spec.hosts ?? []).map((text, index) => ({
      text,
      index,
      full: resolveShortHost(text, namespace, snapshot.clusterDomain),
    }));
    const named = hosts.find(({ full }) => hostMatches(full, host));
    if (named === undefined) {
      const meant = hosts.find(({ text }) => text === serviceName);
      const near = unknown && meant === undefined ? nearestOf(hosts, host) : undefined;
      if (near !== undefined) {
        const place: Place = { object, path: ['spec', 'hosts', near.index] };
        const actual = `${host}, which was called, is nearly that`;
        return [{ ...missed(place, 'hosts', near.full, actual), rule: placeName({ object, path: [] }) }];
      }
      if (meant === undefined) return [];
      const place: Place = { object, path: ['spec', 'hosts', meant.index] };
      return [{ ...missed(place, 'hosts', meant.full, host), rule: placeName({ object, path: [] }) }];
    }
    const reason = whyNotFollowed(snapshot, object, named, host, client, followed);
    return reason === undefined ? [] : [{ ...reason, rule: placeName({ object, path: [] }) }];
  });
}

function nearestOf<Host extends { readonly full: string }>(hosts: readonly Host[], host: string): Host | undefined {
  const names = hosts.map(({ full }) => full);
  const [name] = nearestWords(host, names, 1);
  return hosts.find(({ full }) => full === name);
}

function whyNotFollowed(
  snapshot: MeshSnapshot,
  object: VirtualService,
  named: { readonly full: string; readonly index: number },
  host: string,
  client: TraceClient,
  followed: ReadonlySet<ConfigObject>,
): NotMatched | undefined {
  const { spec } = object;
  const bound = boundGateways(object);
  if (!bound.some((gateway) => client.gateways.has(gateway))) {
    const place: Place = { object, path: spec.gateways?.length ? ['spec', 'gateways'] : [] };
    return missed(place, 'gateways', bound.join(', '), [...client.gateways].join(', ') || 'none');
  }
  if (!isRuleExportedTo(snapshot, object, client.workload.namespace)) {
    const place: Place = { object, path: spec.exportTo?.length ? ['spec', 'exportTo'] : [] };
    return missed(place, 'exportTo', (exportToOf(snapshot, object) ?? []).join(', '), client.workload.namespace);
  }
  const place: Place = { object, path: ['spec', 'hosts', named.index] };
  for (const other of followed) {
    if (other.kind !== 'VirtualService') continue;
    const theirs = (other.spec.hosts ?? [])
      .map((text) => resolveShortHost(text, other.metadata.namespace, snapshot.clusterDomain))
      .filter((full) => hostMatches(full, host))
      .sort(compareHostSpecificity)[0];
    if (theirs === undefined) continue;
    const winner = placeName({ object: other, path: [] });
    const why = theirs === named.full ? 'is older (or first by name)' : 'names the host more exactly';
    return missed(place, 'hosts', named.full, `${winner}, which ${why}, has it`);
  }
  return undefined;
}
