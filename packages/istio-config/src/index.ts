// Istio configuration: text → objects and problems; host, selector, duration and protocol rules. Pure: no I/O, no clock.
export { claimPath } from './declare/claim-path.js';
export { nearestWords } from './declare/suggest.js';
export { parseDurationMs } from './duration.js';
export {
  compareHostSpecificity,
  DEFAULT_DOMAIN_SUFFIX,
  fullGatewayName,
  hostMatches,
  hostsOverlap,
  type NamespacedHost,
  resolveShortHost,
  splitNamespacedHost,
} from './host.js';
export { ipVersion } from './ip-address.js';
export type { DestinationRuleSpec, Subset } from './kinds/destination-rule.js';
export type { ConnectionPoolSettings } from './kinds/fields/connection-pool.js';
export type { Destination, HttpRouteDestination, RouteDestination } from './kinds/fields/destination.js';
export type { HeaderOperations, Headers } from './kinds/fields/headers.js';
export type { HttpMatchRequest } from './kinds/fields/http-match.js';
export type {
  HttpDirectResponse,
  HttpRedirect,
  HttpRetry,
  HttpRewrite,
  HttpRoute,
} from './kinds/fields/http-route.js';
export type { LoadBalancerSettings, LocalityLbSetting } from './kinds/fields/load-balancer.js';
export type { MetricsOverrides } from './kinds/fields/metrics.js';
export type { NetworkSelector, WorkloadSelector } from './kinds/fields/selector.js';
export type { GatewayPort, Server, ServerTlsSettings } from './kinds/fields/server.js';
export type { StringMatch } from './kinds/fields/string-match.js';
export type { TcpRoute, TlsRoute } from './kinds/fields/tcp-route.js';
export type {
  ClientTlsSettings,
  OutlierDetection,
  PortTrafficPolicy,
  TrafficPolicy,
} from './kinds/fields/traffic-policy.js';
export type { GatewaySpec } from './kinds/gateway.js';
export type { HealthCheckSpec, Payload, StatusRange } from './kinds/lateen/health-check.js';
export type {
  RateLimitDescriptor,
  RateLimitMatch,
  RateLimitRule,
  RateLimitSpec,
} from './kinds/lateen/rate-limit.js';
export type { ExtensionProvider, MeshConfig } from './kinds/mesh-config.js';
export type { MutualTlsMode, PeerAuthenticationSpec } from './kinds/peer-authentication.js';
export type {
  AuthorizationCondition,
  AuthorizationOperation,
  AuthorizationPolicySpec,
  AuthorizationRule,
  AuthorizationSource,
} from './kinds/policies/authorization-policy.js';
export type { GrpcAuthorizer, HttpAuthorizer } from './kinds/policies/authorizer.js';
export type { EnvoyFilterSpec } from './kinds/policies/envoy-filter.js';
export type { JwtRule, RequestAuthenticationSpec } from './kinds/policies/request-authentication.js';
export type { WasmPluginSpec } from './kinds/policies/wasm-plugin.js';
export type { ProxyConfig } from './kinds/proxy-config.js';
export { PROXY_CONFIG_ANNOTATION, parseProxyConfig } from './kinds/proxy-config-annotation.js';
export {
  describeKind,
  ISTIO_KINDS,
  isIstioKind,
  isKind,
  type KindDescription,
  KUBERNETES_KINDS,
  kindByName,
} from './kinds/registry.js';
export type { ServiceEntrySpec } from './kinds/service-entry.js';
export type { SidecarSpec } from './kinds/sidecar.js';
export type { TelemetrySpec } from './kinds/telemetry.js';
export type { VirtualServiceSpec } from './kinds/virtual-service.js';
export type { ProxyConfigSpec } from './kinds/workloads/proxy-config.js';
export { type ChosenProxyConfigs, selectProxyConfigs } from './kinds/workloads/select-proxy-configs.js';
export type { WorkloadEntrySpec } from './kinds/workloads/workload-entry.js';
export type { WorkloadGroupSpec } from './kinds/workloads/workload-group.js';
export type {
  DeploymentSpec,
  KubernetesServicePort,
  NamespaceSpec,
  ServiceAccountSpec,
  ServiceSpec,
} from './kubernetes/kinds.js';
export { LOCAL_COMMAND_ANNOTATION, parseLocalCommand } from './kubernetes/local-command.js';
export type { Container, PodTemplate, Probe } from './kubernetes/pod.js';
export { POD_FIELDS, type PodField, parsePodField } from './kubernetes/pod-field.js';
export { GRPC_STATUSES } from './meaning/http/http-route-parts.js';
export {
  type ConfigObject,
  type IstioKind,
  type Kind,
  type KubernetesKind,
  type ObjectMetadata,
  objectKey,
  objectsOfKind,
  type SourcePosition,
  type SpecOf,
} from './object.js';
export {
  type InputFile,
  isMeshConfig,
  locateField,
  type ParsedDocuments,
  type ParsedMeshConfig,
  type ParseOptions,
  parseDocuments,
  parseMeshConfig,
  parseObject,
  readSecretValues,
  withMetadata,
} from './parse.js';
export {
  isForwardProxy,
  isHttpProtocol,
  type PortNaming,
  type PortProtocol,
  protocolFromName,
  protocolFromPortName,
  protocolOfPort,
} from './port-protocol.js';
export { compareProblems, type FieldPath, formatPath, formatProblem, type Problem, type Severity } from './problem.js';
export {
  type CustomResourceDefinition,
  customResourceDefinition,
  type StructuralSchema,
} from './reference/custom-resource.js';
export { customResourceFiles, type DeploymentFile } from './reference/custom-resource-files.js';
export { combinedSchema, type JsonSchema, jsonSchema } from './reference/json-schema.js';
export { type ReferencePage, referencePages } from './reference/page.js';
export { type Labels, selectorMatches } from './selector.js';
export { InvalidSpecError, parseSpecJson, type SpecOrMeshConfig } from './spec-json.js';
export { type ValidationContext, validateObjects } from './validate.js';
export type { Position } from './yaml/line-index.js';
