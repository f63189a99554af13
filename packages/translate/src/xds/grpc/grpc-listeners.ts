// Build: the listeners that a proxyless gRPC client asks for: named as its targets (`xds:///HOST:PORT`), in every form in
// which the host may be named.

import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { packAny } from '@lateen/xds-proto';
import { type Listener, ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { HTTPFaultSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { RouterSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/router/v3/router_pb.js';
import {
  HttpConnectionManagerSchema,
  type HttpFilter,
  HttpFilterSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { FAULT_FILTER, outboundClusterName } from '../names.js';
import type { ResourcePart, ResourceRecipe } from '../recipe.js';
import { domainsOf, serviceNames } from '../routes/domains.js';
import { calledHosts, hostsKey } from './called-hosts.js';

function httpFilter(name: string, value: Any): HttpFilter {
  return create(HttpFilterSchema, { name, configType: { case: 'typedConfig', value } });
}

/** Only these filters mean something to a gRPC client; routes configure the first. */
function httpFilters(): HttpFilter[] {
  return [
    httpFilter(FAULT_FILTER, packAny(HTTPFaultSchema, create(HTTPFaultSchema))),
    httpFilter('envoy.filters.http.router', packAny(RouterSchema, create(RouterSchema))),
  ];
}

function buildListener(name: string, routeConfigName: string): Listener {
  const manager = create(HttpConnectionManagerSchema, {
    statPrefix: routeConfigName,
    routeSpecifier: {
      case: 'rds',
      value: { routeConfigName, configSource: { configSourceSpecifier: { case: 'ads', value: {} } } },
    },
    httpFilters: httpFilters(),
  });
  return create(ListenerSchema, {
    name,
    apiListener: { apiListener: packAny(HttpConnectionManagerSchema, manager) },
  });
}

/** A host's own full name is its own, whatever short forms others have. */
function listenerRecipes(scope: ClientScope): readonly ResourceRecipe<Listener>[] {
  const byName = new Map<string, ResourceRecipe<Listener>>();
  const hosts = calledHosts(scope);
  const forms = hosts.map(({ host, service }) => (service ? serviceNames(service, scope.namespace) : [host]));
  const longest = Math.max(0, ...forms.map(({ length }) => length));
  for (let form = 0; form < longest; form += 1) {
    for (const [index, { host, port }] of hosts.entries()) {
      const route = outboundClusterName(port, '', host);
      for (const name of domainsOf(forms[index]!.slice(form, form + 1), port, false)) {
        if (byName.has(name)) continue;
        byName.set(name, { name, key: `grpc/${name}/${route}`, build: () => buildListener(name, route) });
      }
    }
  }
  return [...byName.values()];
}

/** Listeners by target: `HOST:PORT`. */
export function grpcListenerPart(scope: ClientScope): ResourcePart<Listener> {
  return {
    key: `grpc-listeners/${hostsKey(scope)}`,
    list: () => ({ recipes: listenerRecipes(scope), problems: [] }),
  };
}
