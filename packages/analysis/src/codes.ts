// Findings: their codes, names and levels. IST codes are those of Istio's analyzers, with its names and levels
// (https://istio.io/latest/docs/reference/config/analysis/); LAT codes are Lateen's own.

export type Level = 'Error' | 'Warning' | 'Info';

const CODES = {
  IST0101: ['ReferencedResourceNotFound', 'Error'],
  IST0102: ['NamespaceNotInjected', 'Info'],
  IST0103: ['PodMissingProxy', 'Warning'],
  IST0106: ['SchemaValidationError', 'Error'],
  IST0107: ['MisplacedAnnotation', 'Warning'],
  IST0108: ['UnknownAnnotation', 'Warning'],
  IST0109: ['ConflictingMeshGatewayVirtualServiceHosts', 'Error'],
  IST0110: ['ConflictingSidecarWorkloadSelectors', 'Error'],
  IST0111: ['MultipleSidecarsWithoutWorkloadSelectors', 'Error'],
  IST0112: ['VirtualServiceDestinationPortSelectorRequired', 'Error'],
  IST0116: ['DeploymentAssociatedToMultipleServices', 'Warning'],
  IST0118: ['PortNameIsNotUnderNamingConvention', 'Info'],
  IST0123: ['NamespaceMultipleInjectionLabels', 'Warning'],
  IST0125: ['InvalidAnnotation', 'Warning'],
  IST0127: ['NoMatchingWorkloadsFound', 'Warning'],
  IST0128: ['NoServerCertificateVerificationDestinationLevel', 'Warning'],
  IST0129: ['NoServerCertificateVerificationPortLevel', 'Warning'],
  IST0130: ['VirtualServiceUnreachableRule', 'Warning'],
  IST0131: ['VirtualServiceIneffectiveMatch', 'Info'],
  IST0132: ['VirtualServiceHostNotFoundInGateway', 'Warning'],
  IST0133: ['SchemaWarning', 'Warning'],
  IST0134: ['ServiceEntryAddressesRequired', 'Warning'],
  IST0135: ['DeprecatedAnnotation', 'Info'],
  IST0137: ['DeploymentConflictingPorts', 'Warning'],
  IST0138: ['GatewayDuplicateCertificate', 'Warning'],
  IST0139: ['InvalidWebhook', 'Error'],
  IST0140: ['IngressRouteRulesNotAffected', 'Warning'],
  IST0144: ['InvalidApplicationUID', 'Warning'],
  IST0145: ['ConflictingGateways', 'Error'],
  IST0146: ['ImageAutoWithoutInjectionWarning', 'Warning'],
  IST0147: ['ImageAutoWithoutInjectionError', 'Error'],
  IST0149: ['JwtClaimBasedRoutingWithoutRequestAuthN', 'Error'],
  IST0150: ['ExternalNameServiceTypeInvalidPortName', 'Warning'],
  IST0157: ['InvalidTelemetryProvider', 'Warning'],
  IST0158: ['PodsIstioProxyImageMismatchInNamespace', 'Warning'],
  IST0159: ['ConflictingTelemetryWorkloadSelectors', 'Error'],
  IST0160: ['MultipleTelemetriesWithoutWorkloadSelectors', 'Error'],
  IST0161: ['InvalidGatewayCredential', 'Error'],
  IST0162: ['GatewayPortNotDefinedOnService', 'Warning'],
  IST0171: ['NegativeConditionStatus', 'Warning'],
  IST0173: ['DestinationRuleSubsetNotSelectPods', 'Error'],
  IST0174: ['UnknownDestinationRuleHost', 'Warning'],
  LAT0001: ['MutualTlsConflict', 'Error'],
  LAT0002: ['ConflictingPeerAuthentications', 'Warning'],
  LAT0003: ['RouteOnPortThatIsNoHttp', 'Warning'],
  LAT0004: ['TokensAreOptional', 'Info'],
  LAT0005: ['PolicyDeniesEverything', 'Info'],
  LAT0006: ['PolicyNeedsHttp', 'Warning'],
  LAT0007: ['RetriesExceedTimeout', 'Warning'],
  LAT0008: ['FaultInjected', 'Info'],
  LAT0009: ['ServiceSelectsNothing', 'Warning'],
  LAT0010: ['RevisionNotInstalled', 'Warning'],
  LAT0011: ['ConfigurationNotExported', 'Warning'],
  LAT0012: ['ServerWithoutRoutes', 'Warning'],
  LAT0013: ['ConflictingDestinationRules', 'Warning'],
  LAT0014: ['StrictWithoutProxy', 'Warning'],
  LAT0015: ['UnknownPrincipal', 'Warning'],
  LAT0016: ['HostNetworkPod', 'Info'],
} as const satisfies Readonly<Record<string, readonly [string, Level]>>;

export type Code = keyof typeof CODES;

export const ALL_CODES = Object.keys(CODES) as readonly Code[];

export function nameOf(code: Code): string {
  return CODES[code][0];
}

export function levelOf(code: Code): Level {
  return CODES[code][1];
}
