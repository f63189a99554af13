// Places: what in the documents decided the virtual host, and a default route.

import { fullGatewayName, hostMatches, resolveShortHost } from '@lateen/istio-config';
import type { Route, VirtualHost } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { HttpEntry } from '../entry.js';
import type { ExplainContext } from '../explain.js';
import type { Because } from '../explanation.js';
import { serviceBecause } from './forward-because.js';
import { because, type Place } from './places.js';
import { routePlaces } from './route-places.js';

/** The documents behind the virtual host that was found, and behind a route that no rule made. */
export function routeBecause(
  context: ExplainContext,
  entry: HttpEntry,
  virtualHost: VirtualHost | undefined,
  route: Route | undefined,
): Because[] {
  const { places, view, snapshot } = context;
  if (virtualHost === undefined) return [];
  const host = virtualHost.name.replace(/:\d+$/, '');
  const found: Because[] = [];
  const service = view.scope.serviceByHost.get(host);
  if (view.type === 'sidecar' && service !== undefined) {
    found.push(...serviceBecause(places, service, entry.port, 'virtualHost'));
    const { rules } = route === undefined ? { rules: [] } : routePlaces(places, route);
    if (rules.length === 0) found.push(...serviceBecause(places, service, entry.port, 'route'));
    // A rule that was delegated has no hosts; the one that delegates has.
    for (const rule of rules) found.push(...hostOf(rule, host, snapshot.clusterDomain));
    return found;
  }
  for (const each of route === undefined ? [] : routePlaces(places, route).rules) {
    found.push(...hostOf(each, host, snapshot.clusterDomain));
  }
  if (view.type === 'router') found.push(...serversOf(context, entry, host));
  if (virtualHost.name === 'block_all' || virtualHost.name === 'allow_any') found.push(...outboundPolicy(context));
  return found;
}

/** The host of a VirtualService by which its rules came to the virtual host. */
function hostOf({ object }: Place, host: string, domain: string): Because[] {
  if (object.kind !== 'VirtualService') return [];
  const { spec, metadata } = object;
  const index = (spec.hosts ?? []).findIndex((text) => {
    const full = resolveShortHost(text, metadata.namespace, domain);
    return hostMatches(full, host) || hostMatches(host, full);
  });
  return index < 0 ? [] : [because({ object, path: ['spec', 'hosts', index] }, 'virtualHost')];
}

/** The servers of Gateways that listen there and take the host. */
function serversOf({ view, places }: ExplainContext, entry: HttpEntry, host: string): Because[] {
  const listener = view.gatewayListeners.find(({ port }) => entry.listener === `gateway port ${port}`);
  return (listener?.servers ?? []).flatMap(({ gateway, port, hosts }) => {
    if (!hosts.some((each) => hostMatches(each.host, host) || hostMatches(host, each.host))) return [];
    const [namespace = '', name = ''] = fullGatewayName(gateway, '').split('/');
    const object = places.object('Gateway', namespace, name);
    if (object?.kind !== 'Gateway') return [];
    const index = (object.spec.servers ?? []).findIndex((server) => server.port.number === port);
    return [because({ object, path: index < 0 ? [] : ['spec', 'servers', index] }, 'virtualHost')];
  });
}

/** What says how calls of unknown hosts are treated; nothing where that is the default. */
function outboundPolicy({ view, places, meshFile, snapshot }: ExplainContext): Because[] {
  const [namespace = '', name = ''] = view.scope.sidecar?.name.split('/') ?? [];
  const sidecar = places.object('Sidecar', namespace, name);
  const found: Because[] = [];
  if (sidecar?.kind === 'Sidecar') {
    const { egress, outboundTrafficPolicy } = sidecar.spec;
    if (egress !== undefined) found.push(because({ object: sidecar, path: ['spec', 'egress'] }, 'virtualHost'));
    if (outboundTrafficPolicy?.mode !== undefined) {
      return [...found, because({ object: sidecar, path: ['spec', 'outboundTrafficPolicy'] }, 'virtualHost')];
    }
  }
  if (meshFile === undefined || snapshot.meshConfig.outboundTrafficPolicy === undefined) return found;
  const path = ['outboundTrafficPolicy'];
  const mesh = { kind: 'MeshConfig', namespace: '', name: '', path: 'outboundTrafficPolicy', of: '' };
  return [...found, { file: meshFile.name, line: meshFile.locate(path).line, ...mesh, decides: 'virtualHost' }];
}
