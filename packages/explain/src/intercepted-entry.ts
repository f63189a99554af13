// Explain: where an intercepted caller's proxy takes the call: by the address that its name stands for.

import type { MeshService, ProxyResources, ProxyView } from '@lateen/translate';
import { serviceAddresses } from '@lateen/translate';
import type { FilterChain } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { chooseChain } from './choose-chain.js';
import { type HttpEntry, listenerAt, managerOf, type NoEntry, routesOf, type TcpEntry, tcpProxyOf } from './entry.js';
import type { ExplainedRequest } from './request.js';

/** Any address of either family, as listeners are named. */
const WILDCARDS = ['0.0.0.0', '::'];
const ADDRESS = /^\d{1,3}(\.\d{1,3}){3}$|:/;

/** The one of the address, or the one of its port for all. */
function listenerFor(resources: ProxyResources, address: string | undefined, port: number): Listener | undefined {
  const addresses = [...(address === undefined ? [] : [address]), ...WILDCARDS];
  const found = addresses.flatMap((each) => listenerAt(resources, `${each}_${port}`) ?? []);
  return found[0] ?? listenerAt(resources, 'virtualOutbound');
}

/** The address that is called: what is written, or what DNS says of the service. */
function addressOf(view: ProxyView, host: string, service: MeshService | undefined): string | undefined {
  if (ADDRESS.test(host)) return host;
  if (service === undefined || view.interception === undefined) return undefined;
  const [first] = serviceAddresses(service, view.interception);
  if (first !== undefined || (service.headless !== true && service.memberOf === undefined)) return first;
  // Clients choose among the pods; all are treated alike.
  return (service.podEndpoints ?? service.workloads)[0]?.address;
}

/** Whose address it is. */
function serviceAt(view: ProxyView, address: string | undefined): MeshService | undefined {
  const { interception, scope } = view;
  if (address === undefined || interception === undefined) return undefined;
  return scope.services.find((service) => serviceAddresses(service, interception).includes(address));
}

function chainFor(
  { filterChains, defaultFilterChain }: Listener,
  request: ExplainedRequest,
  address: string | undefined,
) {
  const secure = request.scheme === 'https';
  const kind = {
    transport: secure ? ('tls' as const) : ('raw_buffer' as const),
    serverName: secure ? request.connectHost : '',
    alpn: secure ? [] : ['http/1.1'],
    destinationPort: request.connectPort,
    ...(address === undefined ? {} : { destinationAddress: address }),
  };
  return chooseChain(filterChains, kind) ?? defaultFilterChain;
}

/** Calls that nobody answers for are told by where they pass. */
function passing(chain: FilterChain | undefined, { connectHost, connectPort }: ExplainedRequest): NoEntry {
  const proxy = chain && tcpProxyOf(chain);
  const cluster = proxy?.clusterSpecifier.case === 'cluster' ? proxy.clusterSpecifier.value : undefined;
  const where = `${connectHost}:${connectPort}`;
  if (cluster === undefined) return { kind: 'none', reason: `no filter chain is for connections to ${where}` };
  const reason =
    cluster === 'BlackHoleCluster'
      ? `no service has ${where}, and calls of unknown hosts are closed (REGISTRY_ONLY)`
      : `no service has ${where}: the connection goes to ${cluster}, and the proxy does not look at requests`;
  return { kind: 'none', reason };
}

/** Finds the way in of a request at a sidecar whose application's connections are led to it. */
export function interceptedEntry(
  view: ProxyView,
  resources: ProxyResources,
  request: ExplainedRequest,
  called: MeshService | undefined,
): HttpEntry | TcpEntry | NoEntry {
  const { connectHost, connectPort } = request;
  const address = addressOf(view, connectHost, called);
  const service = called ?? serviceAt(view, address);
  const listener = listenerFor(resources, address, connectPort);
  const chain = listener && chainFor(listener, request, address);
  const manager = chain && managerOf(chain);
  const routes = manager && routesOf(manager, resources);
  const label = service === undefined ? `${connectHost}:${connectPort}` : `${service.hostname}:${connectPort}`;
  if (manager !== undefined && routes !== undefined) {
    return { kind: 'http', listener: label, manager, routes, absolute: false, port: connectPort, service, notes: [] };
  }
  const proxy = chain && tcpProxyOf(chain);
  const port = service?.ports.find((each) => each.port === connectPort);
  if (proxy === undefined || service === undefined || port === undefined) return passing(chain, request);
  return { kind: 'tcp', listener: label, proxy, service, port };
}
