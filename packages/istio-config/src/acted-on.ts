// Acted on: which declared fields Lateen acts on today. What is not listed here is refused by name.
//
// The question for each field: would taking it without acting on it change who may call whom, or where a request goes
// and what becomes of it? Then it is refused (left out of this table). Otherwise it may be `stored`: accepted, with a
// warning that says so. An issue that makes a field work moves its line to `done`.
//
// Paths are relative to the spec. `[]` is any item, `*` any key, `{a,b}` is either; a path takes in all below it.
import type { IstioKind } from './object.js';

/** What becomes of a value that is not acted on. */
export type ValueRule = {
  /** Values that Lateen acts on. */
  readonly done: readonly string[];
  /** Values that are accepted, with what the warning says. */
  readonly stored?: Readonly<Record<string, string>>;
  /** Any other value is refused; what to do in its place. With `others` it is accepted, with this warning. */
  readonly instead?: string;
  readonly others?: string;
};

export interface ActedOn {
  readonly done: readonly string[];
  /** Accepted without effect: path → what the warning says. The path '' is the whole document. */
  readonly stored: Readonly<Record<string, string>>;
  /** Refused with a reason of its own, also below a `stored` path. The path '' is the whole document. */
  readonly refused?: Readonly<Record<string, string>>;
  /** Fields of which only some values are acted on. */
  readonly values?: Readonly<Record<string, ValueRule>>;
}

/** Why a policy is refused as a whole. To make the kind work, take away its line `refused`. */
const NOT_ENFORCED = 'a policy that is not enforced must not be accepted, so remove it until it is';
const SELECTOR_ONLY = 'what it would name (gateways of the Gateway API, waypoints) is not there; use selector';
const ENVOY_FILTER =
  'patches with operation MERGE, ADD, INSERT_* and REMOVE of HTTP_FILTER (local_ratelimit, ratelimit, ext_authz, jwt_authn, ' +
  'rbac, cors, fault, wasm) and MERGE of LISTENER, ROUTE_CONFIGURATION, VIRTUAL_HOST, HTTP_ROUTE and CLUSTER will be; ' +
  'remove it until then';

const LATER_RELEASE = 'it is stored and takes effect in a later release';

const ONE_NETWORK = 'endpoints of all networks are called at their address';

/** The parts of a traffic policy that work, at each place where one stands. */
const POLICY = (at: string): string[] =>
  [at, `${at}.portLevelSettings[]`].flatMap((place) => [
    `${place}.loadBalancer.{simple,consistentHash,localityLbSetting,warmup,warmupDurationSecs}`,
    `${place}.outlierDetection`,
    `${place}.connectionPool.tcp.{maxConnections,connectTimeout,idleTimeout,maxConnectionDuration}`,
    `${place}.connectionPool.tcp.tcpKeepalive.time`,
    `${place}.connectionPool.http.{http1MaxPendingRequests,http2MaxRequests,maxRetries,idleTimeout,maxRequestsPerConnection}`,
    `${place}.connectionPool.http.{h2UpgradePolicy,useClientProtocol,maxConcurrentStreams}`,
    `${place}.tls`,
  ]);

/** Limits for calls to a workload. */
const INBOUND_POOL = (at: string): string[] => [
  `${at}.tcp.{maxConnections,connectTimeout,idleTimeout,maxConnectionDuration}`,
  `${at}.tcp.tcpKeepalive.time`,
  `${at}.http.{http1MaxPendingRequests,http2MaxRequests,maxRetries,idleTimeout,maxRequestsPerConnection}`,
  `${at}.http.{useClientProtocol,maxConcurrentStreams}`,
];

const LOAD_BALANCER: ValueRule = {
  done: ['UNSPECIFIED', 'ROUND_ROBIN', 'LEAST_REQUEST', 'LEAST_CONN', 'RANDOM', 'PASSTHROUGH'],
  instead: 'write ROUND_ROBIN, LEAST_REQUEST or RANDOM',
};

const POLICY_VALUES = (at: string): Readonly<Record<string, ValueRule>> => ({
  [`${at}.loadBalancer.simple`]: LOAD_BALANCER,
});

const INBOUND_UPGRADE = 'an application gets the HTTP that its port is declared for, in Istio too';
const PROBES = 'a sidecar probes ten times, once a second';

/** Where a DestinationRule has policies. */
const POLICIES = '{trafficPolicy,subsets[].trafficPolicy}';

/** The table, by kind. */
export const ACTED_ON: Readonly<Record<IstioKind | 'MeshConfig', ActedOn>> = {
  VirtualService: {
    done: [
      'hosts',
      'gateways',
      'exportTo',
      'http[].name',
      'http[].match[].{name,statPrefix,port,gateways,sourceLabels,sourceNamespace,ignoreUriCase}',
      'http[].delegate.{name,namespace}',
      'http[].match[].{uri,scheme,method,authority}.{exact,prefix,regex}',
      'http[].match[].{headers,withoutHeaders,queryParams}.*.{exact,prefix,regex}',
      'http[].route[].{destination,weight,headers}',
      'http[].{headers,redirect,directResponse,timeout}',
      'http[].rewrite.{uri,authority,uriRegexRewrite}',
      'http[].corsPolicy.{allowOrigin,allowMethods,allowHeaders,exposeHeaders,maxAge,allowCredentials,unmatchedPreflights}',
      'http[].corsPolicy.allowOrigins[].{exact,prefix,regex}',
      'http[].{mirror,mirrorPercent,mirror_percent,mirrorPercentage}',
      'http[].mirrors[].{destination,percentage}',
      'http[].fault.delay.{fixedDelay,percentage,percent}',
      'http[].fault.abort.{httpStatus,grpcStatus,percentage}',
      'http[].retries.{attempts,perTryTimeout,retryOn,backoff,retryIgnorePreviousHosts,retryRemoteLocalities}',
      'tcp[].match[].{destinationSubnets,port,gateways,sourceLabels,sourceNamespace}',
      'tcp[].route[].{destination,weight}',
      'tls[].match[].{sniHosts,destinationSubnets,port,gateways,sourceLabels,sourceNamespace}',
      'tls[].route[].{destination,weight}',
    ],
    stored: {},
    refused: {},
  },
  DestinationRule: {
    done: [
      'host',
      'workloadSelector',
      'exportTo',
      'subsets[].{name,labels}',
      `${POLICIES}.portLevelSettings[].port`,
      `${POLICIES}.retryBudget`,
      `${POLICIES}.proxyProtocol`,
      `${POLICIES}.tunnel.{protocol,targetHost,targetPort}`,
      ...POLICY(POLICIES),
    ],
    stored: {
      [`${POLICIES}.connectionPool.tcp.tcpKeepalive.{probes,interval}`]: PROBES,
      [`${POLICIES}.portLevelSettings[].connectionPool.tcp.tcpKeepalive.{probes,interval}`]: PROBES,
    },
    values: {
      ...POLICY_VALUES(POLICIES),
      ...POLICY_VALUES(`${POLICIES}.portLevelSettings[]`),
    },
  },
  Gateway: {
    done: [
      'selector',
      'servers[].{name,bind,hosts}',
      'servers[].port.{number,name,protocol}',
      'servers[].tls.{httpsRedirect,mode,credentialName,credentialNames,tlsCertificates,caCertCredentialName}',
      'servers[].tls.{serverCertificate,privateKey,caCertificates,caCrl,subjectAltNames}',
      'servers[].tls.{verifyCertificateSpki,verifyCertificateHash,minProtocolVersion,maxProtocolVersion,cipherSuites}',
    ],
    stored: { 'servers[].defaultEndpoint': 'Istio does not use it either' },
  },
  Sidecar: {
    done: [
      'workloadSelector',
      'egress[].{hosts,bind,captureMode}',
      'egress[].port.{number,name,protocol}',
      'outboundTrafficPolicy.{mode,egressProxy}',
      'ingress[].port.{number,name,protocol}',
      'ingress[].{defaultEndpoint,bind,captureMode}',
      'ingress[].tls.{mode,serverCertificate,privateKey,caCertificates,caCrl,tlsCertificates}',
      'ingress[].tls.{verifyCertificateSpki,verifyCertificateHash,minProtocolVersion,maxProtocolVersion,cipherSuites}',
      ...INBOUND_POOL('inboundConnectionPool'),
      ...INBOUND_POOL('ingress[].connectionPool'),
    ],
    stored: {
      'inboundConnectionPool.tcp.tcpKeepalive.{probes,interval}': PROBES,
      'ingress[].connectionPool.tcp.tcpKeepalive.{probes,interval}': PROBES,
      'inboundConnectionPool.http.h2UpgradePolicy': INBOUND_UPGRADE,
      'ingress[].connectionPool.http.h2UpgradePolicy': INBOUND_UPGRADE,
      'egress[].port.targetPort': 'Istio does not use it either',
    },
    values: {
      'ingress[].tls.mode': {
        done: ['PASSTHROUGH', 'SIMPLE', 'MUTUAL', 'OPTIONAL_MUTUAL'],
        instead: 'write SIMPLE or MUTUAL',
      },
    },
  },
  PeerAuthentication: { done: ['selector', 'mtls', 'portLevelMtls'], stored: {} },
  Telemetry: {
    done: [
      'selector',
      'metrics[].providers[].name',
      'metrics[].overrides[].match.{metric,mode}',
      'metrics[].overrides[].{disabled,tagOverrides}',
      'accessLogging[].providers[].name',
      'accessLogging[].disabled',
      'accessLogging[].match.mode',
    ],
    stored: {
      tracing: 'no spans are reported yet',
      'metrics[].reportingInterval': 'TCP metrics are up to date at each scrape',
    },
    values: {
      'metrics[].providers[].name': {
        done: ['prometheus'],
        others: 'gets metrics only if MeshConfig declares it; declare it there as a Prometheus provider',
      },
      'accessLogging[].providers[].name': {
        done: ['envoy'],
        others: 'gets logs only if MeshConfig declares it; declare it there as a file access log',
      },
    },
  },
  ServiceEntry: {
    done: [
      'hosts',
      'addresses',
      'ports',
      'location',
      'resolution',
      'endpoints[].{address,ports,labels,locality,weight,serviceAccount}',
      'workloadSelector',
      'exportTo',
      'subjectAltNames',
    ],
    stored: { 'endpoints[].network': ONE_NETWORK },
  },
  WorkloadEntry: {
    done: ['{address,ports,labels,locality,weight,serviceAccount}'],
    stored: { network: ONE_NETWORK },
  },
  WorkloadGroup: {
    done: ['metadata.{labels,annotations}', 'template.{ports,labels,locality,weight,serviceAccount}', 'probe'],
    stored: {
      'template.address': 'the address of each WorkloadEntry is that of the workload',
      'template.network': ONE_NETWORK,
    },
  },
  ProxyConfig: {
    done: ['{selector,environmentVariables,concurrency}'],
    stored: { image: 'the image is the one of this release' },
  },
  AuthorizationPolicy: {
    done: ['selector', 'rules', 'action', 'provider'],
    stored: {},
    refused: { targetRef: SELECTOR_ONLY, targetRefs: SELECTOR_ONLY },
  },
  RequestAuthentication: {
    done: ['selector', 'jwtRules'],
    stored: {},
    refused: { targetRef: SELECTOR_ONLY, targetRefs: SELECTOR_ONLY },
  },
  WasmPlugin: {
    done: [
      'selector',
      'targetRef',
      'targetRefs',
      '{url,sha256,imagePullPolicy,imagePullSecret,verificationKey}',
      '{pluginConfig,pluginName,phase,priority,failStrategy,vmConfig,match,type}',
    ],
    stored: {},
    refused: { '': NOT_ENFORCED },
  },
  EnvoyFilter: {
    done: ['workloadSelector', 'targetRefs', 'configPatches', 'priority'],
    stored: {},
    refused: { '': ENVOY_FILTER },
  },
  RateLimit: {
    done: [
      'selector',
      'hosts',
      'rules[].{name,match,limit,scope,mode,response,external}',
      'rules[].by[].{header,sourceIdentity,clientAddress,method,host,jwtClaim,key}',
    ],
    stored: {},
  },
  HealthCheck: {
    done: [
      'host',
      'port',
      'subset',
      'http',
      'grpc',
      'tcp',
      '{interval,timeout,unhealthyThreshold,healthyThreshold,initialJitter,intervalJitter,intervalJitterPercent}',
      '{noTrafficInterval,unhealthyInterval,unhealthyEdgeInterval,healthyEdgeInterval,reuseConnection}',
      'panicThreshold',
      'logFailures',
      'exportTo',
      'workloadSelector',
    ],
    stored: {},
  },
  MeshConfig: {
    done: [
      'accessLogFile',
      'accessLogFormat',
      'accessLogEncoding',
      'trustDomain',
      'trustDomainAliases',
      'rootNamespace',
      'outboundTrafficPolicy.mode',
      'inboundTrafficPolicy.mode',
      'discoverySelectors',
      'serviceSettings',
      'proxyHttpPort',
      'verifyCertificateAtClient',
      'defaultServiceExportTo',
      'defaultVirtualServiceExportTo',
      'defaultDestinationRuleExportTo',
      'defaultHttpRetryPolicy.{attempts,perTryTimeout,retryOn,backoff,retryIgnorePreviousHosts,retryRemoteLocalities}',
      'tcpKeepalive.time',
      'dnsRefreshRate',
      'extensionProviders[].{name,prometheus}',
      'extensionProviders[].{envoyFileAccessLog,lateenAudit,envoyExtAuthzHttp,envoyExtAuthzGrpc}',
      'defaultProviders.{metrics,accessLogging}',
      'defaultConfig.gatewayTopology.{numTrustedProxies,proxyProtocol,forwardClientCertDetails}',
      'defaultConfig.{proxyMetadata,concurrency,terminationDrainDuration}',
      'defaultConfig.proxyHeaders.{forwardedClientCert,requestId,server,attemptCount,envoyDebugHeaders}',
      'defaultConfig.proxyHeaders.{metadataExchangeHeaders,preserveHttp1HeaderCase,setCurrentClientCertDetails}',
      'defaultConfig.proxyHeaders.{xForwardedHost,xForwardedPort}',
      'enableAutoMtls',
      'connectTimeout',
      'protocolDetectionTimeout',
      'h2UpgradePolicy',
      'localityLbSetting',
      '{inboundClusterStatName,outboundClusterStatName}',
      'pathNormalization.normalization',
      'meshMTLS.{minProtocolVersion,cipherSuites}',
      'tlsDefaults.{minProtocolVersion,ecdhCurves,cipherSuites}',
    ],
    stored: {
      enablePrometheusMerge: "the application's metrics are not merged yet",
      enableTracing: 'no spans are reported yet',
      disableEnvoyListenerLog: 'no such log is written',
      'tcpKeepalive.{probes,interval}': PROBES,
      ingressClass: 'Ingress resources are not taken',
      ingressService: 'Ingress resources are not taken',
      ingressControllerMode: 'Ingress resources are not taken',
      ingressSelector: 'Ingress resources are not taken',
      'defaultProviders.tracing': 'no spans are reported yet',
      'extensionProviders[].{zipkin,lightstep,datadog,stackdriver,opencensus,skywalking,opentelemetry}':
        'no spans are reported yet',
      'extensionProviders[].{envoyHttpAls,envoyTcpAls,envoyOtelAls}': 'access logs go to files only',
      'defaultConfig.{drainDuration,holdApplicationUntilProxyStarts}': "the proxy's own defaults are used",
      'defaultConfig.{serviceCluster,tracingServiceName,zipkinAddress,tracing,meshId,extraStatTags}': LATER_RELEASE,
      'defaultConfig.{discoveryRefreshDelay,availabilityZone,envoyMetricsServiceAddress}': 'Istio ignores it as well',
      'defaultConfig.statsCompression': 'metrics are never compressed',
      hboneIdleTimeout: 'there is no ambient mode',
      'defaultConfig.{statNameLength,proxyStatsMatcher,fileFlushInterval,fileFlushMinSizeKb}': LATER_RELEASE,
    },
  },
};
