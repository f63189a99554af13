// Reading order: model.ts (values), proxy-node.ts (who asks), snapshot.ts (the mesh), proxy-view.ts (what this proxy
// sees; resolve/), xds/resources.ts (xDS; xds/), consistency.ts (the check before serving), cache/ (what is kept).

export type { PackedResource } from './cache/pack-resource.js';
export {
  type PackedSet,
  type Translation,
  TranslationCache,
  type TranslationCacheCounts,
} from './cache/translation-cache.js';
export { checkConsistency } from './consistency.js';
export * from './model.js';
export { originsOf } from './provenance.js';
export * from './proxy-node.js';
export {
  type ProxySettings,
  type ProxySettingsSource,
  type ProxySettingsTarget,
  resolveProxySettings,
} from './proxy-settings.js';
export { type OutboundAddress, type OutboundAddresses, type ProxyView, resolveProxyView } from './proxy-view.js';
export { type ClientScope, resolveClientScope } from './resolve/client-scope.js';
export { CREDENTIAL_KEYS, readCertificatePair, readRoots } from './resolve/credentials.js';
export { type EffectiveDestinationRule, policyForPort } from './resolve/destination-rules.js';
export { interceptionModeOf, serviceAddresses } from './resolve/interception/interception.js';
export { resolveAuditLog } from './resolve/lateen/audit-logs.js';
export {
  type EffectiveRateLimit,
  isCountedRule,
  type RateLimitBudget,
  rateLimitBudget,
} from './resolve/lateen/rate-limits.js';
export { exportToOf, isRuleExportedTo, type MeshPort, type MeshService, meshIndex } from './resolve/mesh-index.js';
export { type DecidedMtlsMode, decideMtlsMode } from './resolve/peer-authentication.js';
export { type AddressedHost, addressedHosts } from './resolve/services/addressed-hosts.js';
export { type EffectiveTokenRule, isDiscovery, keySourceOf } from './resolve/tokens/request-authentication.js';
export { boundGateways, type EffectiveVirtualService } from './resolve/virtual-services.js';
export { buildSnapshot, configsOf, HEALTHY_ANNOTATION, isHealthy } from './snapshot.js';
export { hasPassthrough } from './xds/clusters/local-clusters.js';
export { QUOTA_DOMAIN, RULE_KEY } from './xds/listeners/quota-filter.js';
export { gatewayListenerName } from './xds/names.js';
export type { RecipeList, ResourcePart, ResourceRecipe } from './xds/recipe.js';
export { buildResources, partsOf, type ViewParts, viewKey } from './xds/resources.js';
export { type NamedCredential, namedCredentials } from './xds/tls/named-credentials.js';
