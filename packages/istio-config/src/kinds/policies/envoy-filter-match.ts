// Kind EnvoyFilter: which of the generated objects a patch is for.
import { regex } from '../../declare/formats.js';
import { map, message, nested } from '../../declare/message.js';
import { choice, integer, portNumber, text } from '../../declare/scalars.js';

const UINT32_MAX = 2 ** 32 - 1;

function port(description: string) {
  return integer(description, { max: UINT32_MAX });
}

const filter = message('FilterMatch', {
  name: text('Name of the filter, such as envoy.filters.network.http_connection_manager.'),
  subFilter: nested(
    message('SubFilterMatch', { name: text('Name of the filter, such as envoy.filters.http.router.') }),
    'A filter within it; of an HTTP connection manager only.',
  ),
});

const filterChain = message('FilterChainMatch', {
  name: text('Name of the filter chain.'),
  sni: text('A server name that it is for.'),
  transportProtocol: text('raw_buffer or tls.'),
  applicationProtocols: text('Its application protocols, separated by commas.'),
  filter: nested(filter, 'A network filter of it.'),
  destinationPort: port('The destination port that it is for.'),
});

const listener = message('ListenerMatch', {
  portNumber: port('The port.'),
  portName: text('Name of the port of the service (not used by Istio).'),
  filterChain: nested(filterChain, 'A filter chain of it.'),
  listenerFilter: text('Name of a listener filter.'),
  name: text('Name of the listener.'),
});

const routeConfiguration = message('RouteConfigurationMatch', {
  portNumber: port('The port.'),
  portName: text("Name of the gateway server's port."),
  gateway: text('The Gateway, NAMESPACE/NAME.'),
  vhost: nested(
    message('VirtualHostMatch', {
      name: text('Name of the virtual host, HOST:PORT.'),
      domainName: text('A domain of the virtual host.'),
      route: nested(
        message('RouteMatch', {
          name: text("Name of the route: the rule's name in the VirtualService."),
          action: choice('What the route does (default ANY).', ['ANY', 'ROUTE', 'REDIRECT', 'DIRECT_RESPONSE']),
        }),
        'A route of it.',
      ),
    }),
    'A virtual host of it.',
  ),
  name: text('Name of the route configuration.'),
});

const cluster = message('ClusterMatch', {
  portNumber: port('Port of the service.'),
  service: text('Host of the service.'),
  subset: text('The subset.'),
  name: text('Name of the cluster, such as outbound|9080||reviews.default.svc.cluster.local.'),
});

const waypoint = message('WaypointMatch', {
  portNumber: portNumber('Port of the service.'),
  filter: nested(filter, 'A filter.'),
  route: nested(message('WaypointRouteMatch', { name: text('Name of the route.') }), 'A route.'),
});

const proxy = message('ProxyMatch', {
  proxyVersion: text('A regular expression (RE2) for the version of the proxy.', { format: regex }),
  metadata: map(text(''), 'Node metadata that the proxy must have, all of it.'),
});

/** Conditions that an object has to meet. */
export const envoyObjectMatch = message(
  'EnvoyConfigObjectMatch',
  {
    context: choice('Which configuration is patched (default ANY).', [
      'ANY',
      'SIDECAR_INBOUND',
      'SIDECAR_OUTBOUND',
      'GATEWAY',
      'WAYPOINT',
    ]),
    proxy: nested(proxy, 'Which proxies.'),
    listener: nested(listener, 'Which listener, filter chain or filter.'),
    routeConfiguration: nested(routeConfiguration, 'Which route configuration, virtual host or route.'),
    cluster: nested(cluster, 'Which cluster.'),
    waypoint: nested(waypoint, 'Which object of a waypoint.'),
  },
  { atMostOneOf: [['listener', 'routeConfiguration', 'cluster', 'waypoint']] },
);
