// Meaning: the rules of each kind, by kind.

import { checkDeployment, checkService } from '../kubernetes/meaning.js';
import { checkSecret } from '../kubernetes/secret.js';
import type { IstioSpecs, KubernetesSpecs } from '../object.js';
import { checkDestinationRule } from './destination-rule.js';
import { checkGateway } from './gateway.js';
import { checkHealthCheck } from './lateen/health-check.js';
import { checkRateLimit } from './lateen/rate-limit.js';
import { checkPeerAuthentication } from './peer-authentication.js';
import { checkAuthorizationPolicy } from './policies/authorization-policy.js';
import { checkEnvoyFilter } from './policies/envoy-filter.js';
import { checkRequestAuthentication } from './policies/request-authentication.js';
import { checkWasmPlugin } from './policies/wasm-plugin.js';
import type { MeaningRule } from './rule.js';
import { checkServiceEntry } from './service-entry.js';
import { checkSidecar } from './sidecar.js';
import { checkTelemetry } from './telemetry.js';
import { checkVirtualService } from './virtual-service.js';
import { checkProxyConfig } from './workloads/proxy-config.js';
import { checkWorkloadEntry } from './workloads/workload-entry.js';
import { checkWorkloadGroup } from './workloads/workload-group.js';

type Specs = IstioSpecs & KubernetesSpecs;

/** What a spec has to mean, beyond its structure. */
export const MEANING: { readonly [K in keyof Specs]: MeaningRule<Specs[K]> } = {
  VirtualService: checkVirtualService,
  DestinationRule: checkDestinationRule,
  Gateway: checkGateway,
  Sidecar: checkSidecar,
  PeerAuthentication: checkPeerAuthentication,
  Telemetry: checkTelemetry,
  ServiceEntry: checkServiceEntry,
  WorkloadEntry: checkWorkloadEntry,
  WorkloadGroup: checkWorkloadGroup,
  ProxyConfig: checkProxyConfig,
  AuthorizationPolicy: checkAuthorizationPolicy,
  RequestAuthentication: checkRequestAuthentication,
  WasmPlugin: checkWasmPlugin,
  EnvoyFilter: checkEnvoyFilter,
  RateLimit: checkRateLimit,
  HealthCheck: checkHealthCheck,
  Service: checkService,
  Deployment: checkDeployment,
  Namespace: () => {},
  ServiceAccount: () => {},
  Secret: checkSecret,
};
