// Build: the HTTP connection managers of listeners.

import { create, toBinary } from '@bufbuild/protobuf';
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import type { MeshConfig } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import { ApiVersion, ConfigSourceSchema } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import { type Filter, FilterSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import {
  HttpConnectionManager_ForwardClientCertDetails as ForwardClientCertDetails,
  HttpConnectionManager_UpgradeConfigSchema,
  HttpConnectionManagerSchema,
  HttpConnectionManager_PathWithEscapedSlashesAction as PathWithEscapedSlashesAction,
  RdsSchema,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeaderTransformation,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { ProxyHeaders } from '../../proxy-headers.js';
import type { GatewayTopology, ProxyView } from '../../proxy-view.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { stableJson } from '../../stable-hash.js';
import { authorizerCluster } from '../authorization/external-authorization.js';
import { http1Options } from '../clusters/upstream-protocol.js';
import { durationOfMs } from '../durations.js';
import { buildAccessLogs } from './access-log.js';
import { buildHttpFilters, type HttpAbilities } from './http-filters.js';
import { ownCallCluster } from './limit-service-filter.js';
import type { ListenerClass } from './mesh-filters.js';

/** Whom a connection manager serves: a port of a sidecar may also be for clients outside of the mesh. */
type ManagerClass = ListenerClass | 'sidecar-inbound-outside';

/** Where a connection manager's routes come from. */
export type RouteSource = { readonly rds: string } | { readonly inline: RouteConfiguration };

/** MeshConfig pathNormalization; BASE unless set (CONTRACTS "Security rules"). */
function pathNormalization(meshConfig: MeshConfig) {
  switch (meshConfig.pathNormalization?.normalization) {
    case 'NONE':
      return { normalizePath: false };
    case 'MERGE_SLASHES':
      return { normalizePath: true, mergeSlashes: true };
    case 'DECODE_AND_MERGE_SLASHES':
      return {
        normalizePath: true,
        mergeSlashes: true,
        pathWithEscapedSlashesAction: PathWithEscapedSlashesAction.UNESCAPE_AND_FORWARD,
      };
    default:
      return { normalizePath: true, pathWithEscapedSlashesAction: PathWithEscapedSlashesAction.KEEP_UNCHANGED };
  }
}

/** By the words of MeshConfig. */
const CERTIFICATE_WORDS = {
  SANITIZE: ForwardClientCertDetails.SANITIZE,
  FORWARD_ONLY: ForwardClientCertDetails.FORWARD_ONLY,
  APPEND_FORWARD: ForwardClientCertDetails.APPEND_FORWARD,
  SANITIZE_SET: ForwardClientCertDetails.SANITIZE_SET,
  ALWAYS_FORWARD_ONLY: ForwardClientCertDetails.ALWAYS_FORWARD_ONLY,
} as const;

type CertificateWord = keyof typeof CERTIFICATE_WORDS | 'UNDEFINED' | undefined;

function ofWord(word: CertificateWord, fallback: ForwardClientCertDetails): ForwardClientCertDetails {
  return word === undefined || word === 'UNDEFINED' ? fallback : CERTIFICATE_WORDS[word];
}

/**
 * What happens to `x-forwarded-client-cert`: sidecars append who called them, a gateway believes nobody unless it is told to.
 * Clients from outside of the mesh are never believed at a sidecar: there what it is told only leaves out more.
 */
function clientCertificates(
  listenerClass: ManagerClass,
  { forwardClientCertDetails }: GatewayTopology,
  { forwardedClientCert, setCurrentClientCertDetails: told }: ProxyHeaders,
) {
  const { APPEND_FORWARD, SANITIZE, SANITIZE_SET } = ForwardClientCertDetails;
  const { subject = true, dns = true, uri = true, cert = false, chain = false } = told ?? {};
  const current = { subject, dns, uri, cert, chain };
  switch (listenerClass) {
    case 'sidecar-inbound':
      return {
        forwardClientCertDetails: ofWord(forwardedClientCert, APPEND_FORWARD),
        setCurrentClientCertDetails: current,
      };
    case 'gateway':
      return {
        forwardClientCertDetails: ofWord(forwardClientCertDetails, SANITIZE_SET),
        // What Istio's gateways say of their clients, whatever `setCurrentClientCertDetails` has for sidecars.
        setCurrentClientCertDetails: { subject: true, dns: true, uri: true, cert: true },
      };
    case 'sidecar-inbound-outside':
      return {
        forwardClientCertDetails: forwardedClientCert === 'SANITIZE' ? SANITIZE : SANITIZE_SET,
        setCurrentClientCertDetails: current,
      };
    case 'sidecar-outbound':
      return {};
  }
}

/** Who has answered, in the header `server`. */
function serverHeader({ server }: ProxyHeaders) {
  if (server?.disabled === true) return { serverHeaderTransformation: ServerHeaderTransformation.PASS_THROUGH };
  return { serverName: server?.value || 'istio-envoy' };
}

function routeSpecifier(routes: RouteSource) {
  if ('inline' in routes) return { case: 'routeConfig' as const, value: routes.inline };
  const configSource = create(ConfigSourceSchema, {
    resourceApiVersion: ApiVersion.V3,
    configSourceSpecifier: { case: 'ads', value: {} },
  });
  return { case: 'rds' as const, value: create(RdsSchema, { routeConfigName: routes.rds, configSource }) };
}

/** What connection managers are made of, of a view. */
type ManagedView = Pick<ProxyView, 'scope' | 'understandsIstioFilters' | 'proxyHeaders' | 'gatewayTopology'>;

/** What the connection managers of a listener class have in common: made once for all listeners of a scope. */
function sharedFields(
  { scope, understandsIstioFilters, proxyHeaders, gatewayTopology }: ManagedView,
  managerClass: ManagerClass,
  abilities: HttpAbilities,
) {
  const { meshConfig } = scope.snapshot;
  const listenerClass = managerClass === 'sidecar-inbound-outside' ? 'sidecar-inbound' : managerClass;
  const accessLogs = scope.accessLogs[listenerClass === 'sidecar-inbound' ? 'SERVER' : 'CLIENT'];
  return {
    httpFilters: buildHttpFilters(scope, listenerClass, understandsIstioFilters, abilities, proxyHeaders),
    accessLog: buildAccessLogs(scope, accessLogs, 'request', understandsIstioFilters),
    // Who calls from outside of the mesh says nothing about itself that is believed: such ports are edges, as gateways are.
    useRemoteAddress: managerClass === 'gateway' || managerClass === 'sidecar-inbound-outside',
    xffNumTrustedHops: listenerClass === 'gateway' ? (gatewayTopology.numTrustedProxies ?? 0) : 0,
    ...serverHeader(proxyHeaders),
    generateRequestId: proxyHeaders.requestId?.disabled !== true,
    appendXForwardedPort: proxyHeaders.xForwardedPort?.enabled === true,
    httpProtocolOptions: http1Options(proxyHeaders),
    streamIdleTimeout: durationOfMs(0),
    // As Istio: WebSockets go through every listener.
    upgradeConfigs: ['websocket', ...(abilities.connects ? ['CONNECT'] : [])].map((upgradeType) =>
      create(HttpConnectionManager_UpgradeConfigSchema, { upgradeType }),
    ),
    ...pathNormalization(meshConfig),
    ...clientCertificates(managerClass, gatewayTopology, proxyHeaders),
  };
}

/** Makes the connection managers of a scope's proxies. */
export interface ConnectionManagers {
  /** Everything that they are made of but class, address and routes. */
  readonly key: string;
  /**
   * The connection manager as a network filter.
   *
   * @param address the listener's address and port, `IP_PORT`, for the name of its statistics
   */
  build(listenerClass: ManagerClass, address: string, routes: RouteSource, abilities?: HttpAbilities): Filter;
}

function createConnectionManagers(view: ManagedView): ConnectionManagers {
  const { scope, understandsIstioFilters, proxyHeaders, gatewayTopology } = view;
  const shared = new Map<string, ReturnType<typeof sharedFields>>();
  const keyOf = (listenerClass: ManagerClass, abilities: HttpAbilities) => {
    const { forwards = false, grpcWeb = false, connects = false } = abilities;
    return `${listenerClass}/${forwards}/${grpcWeb}/${connects}`;
  };
  const fieldsOf = (listenerClass: ManagerClass, abilities: HttpAbilities) => {
    const key = keyOf(listenerClass, abilities);
    const fields = shared.get(key) ?? sharedFields(view, listenerClass, abilities);
    shared.set(key, fields);
    return fields;
  };
  const packManager = (listenerClass: ManagerClass, routes: RouteSource, abilities: HttpAbilities) =>
    packAny(
      HttpConnectionManagerSchema,
      create(HttpConnectionManagerSchema, {
        ...fieldsOf(listenerClass, abilities),
        routeSpecifier: routeSpecifier(routes),
      }),
    );
  const byRoute = new Map<string, Any>();
  const managerOf = (listenerClass: ManagerClass, routes: RouteSource, abilities: HttpAbilities) => {
    if ('inline' in routes) return packManager(listenerClass, routes, abilities);
    const key = `${keyOf(listenerClass, abilities)}/${routes.rds}`;
    const manager = byRoute.get(key) ?? packManager(listenerClass, routes, abilities);
    byRoute.set(key, manager);
    return manager;
  };
  return {
    key: [
      understandsIstioFilters,
      stableJson(proxyHeaders),
      stableJson(gatewayTopology),
      scope.telemetryHash,
      scope.rateLimitHash,
      [...scope.limitServices, ...scope.auditCollectors].map((service) => ownCallCluster(scope, service)).join(),
      scope.tokenRulesHash,
      scope.authorizationHash,
      scope.authorizer === undefined ? '' : authorizerCluster(scope, scope.authorizer),
      scope.snapshot.hashes.settings,
    ].join('/'),
    build: (listenerClass, address, routes, abilities = {}) => {
      const manager = managerOf(listenerClass, routes, abilities);
      const statPrefix = `${listenerClass.startsWith('sidecar-inbound') ? 'inbound' : 'outbound'}_${address}`;
      return create(FilterSchema, {
        name: 'envoy.filters.network.http_connection_manager',
        configType: { case: 'typedConfig', value: withStatPrefix(manager, statPrefix) },
      });
    },
  };
}

/**
 * The only field that differs between the connection managers of a route is put in front of their common bytes: the bytes
 * of two messages one after the other are those of the two merged (protobuf's encoding). It saves most of the time that
 * the listeners of a mesh take.
 */
function withStatPrefix({ typeUrl, value }: Any, statPrefix: string): Any {
  const prefix = toBinary(HttpConnectionManagerSchema, create(HttpConnectionManagerSchema, { statPrefix }));
  const bytes = new Uint8Array(prefix.length + value.length);
  bytes.set(prefix);
  bytes.set(value, prefix.length);
  return create(AnySchema, { typeUrl, value: bytes });
}

const known = new WeakMap<ClientScope, Map<string, ConnectionManagers>>();

/** The connection managers of a scope's proxies that take the same filters and set the same headers. */
export function connectionManagers(view: ManagedView): ConnectionManagers {
  const ofScope = known.get(view.scope) ?? new Map<string, ConnectionManagers>();
  known.set(view.scope, ofScope);
  const key = `${view.understandsIstioFilters}/${stableJson(view.proxyHeaders)}/${stableJson(view.gatewayTopology)}`;
  const result = ofScope.get(key) ?? createConnectionManagers(view);
  ofScope.set(key, result);
  return result;
}
