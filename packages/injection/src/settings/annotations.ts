// Settings: the annotations by which a pod changes its injection, and what their values may be. All that is wrong is said at
// once; an annotation that is not known is a warning, since others may read it.

import { nearestWords, parseMeshConfig } from '@lateen/istio-config';
import { parseDocument } from 'yaml';
import { isObject } from '../config/deep-merge.js';

/** What is wrong with a value; undefined where nothing is. */
type Check = (value: string) => string | undefined;

const QUANTITY = /^\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei|[eE][+-]?\d+)?$/;
const CIDR = /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)\/\d{1,3}$/;

const anything: Check = () => undefined;
const quantity: Check = (value) => (QUANTITY.test(value) ? undefined : 'is no quantity, as 100m or 128Mi');
const flag: Check = (value) => (/^(true|false)$/i.test(value) ? undefined : 'is neither true nor false');
const whole: Check = (value) => (/^\d+$/.test(value) ? undefined : 'is no whole number');

function isPort(value: string): boolean {
  return /^\d{1,5}$/.test(value) && Number(value) >= 1 && Number(value) <= 65_535;
}

function entries(value: string): string[] {
  return value
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');
}

function portList(wildcard: boolean): Check {
  return (value) => {
    if (wildcard && value.trim() === '*') return undefined;
    const wrong = entries(value).find((each) => !isPort(each));
    return wrong === undefined ? undefined : `has ${JSON.stringify(wrong)}, which is no port`;
  };
}

function addressList(wildcard: boolean): Check {
  return (value) => {
    if (wildcard && value.trim() === '*') return undefined;
    const wrong = entries(value).find((each) => !CIDR.test(each));
    return wrong === undefined ? undefined : `has ${JSON.stringify(wrong)}, which is no range as 10.0.0.0/8`;
  };
}

function oneOf(...words: string[]): Check {
  return (value) => (words.includes(value) ? undefined : `is none of ${words.join(', ')}`);
}

const interceptionMode: Check = (value) =>
  value === 'TPROXY'
    ? 'is TPROXY, which needs capabilities that the proxy does not have: use REDIRECT'
    : oneOf('REDIRECT', 'NONE')(value);

const json: Check = (value) => {
  try {
    const parsed: unknown = JSON.parse(value);
    return isObject(parsed) || Array.isArray(parsed) ? undefined : 'is neither a JSON object nor a JSON list';
  } catch {
    return 'is no JSON';
  }
};

/** Fields are those of MeshConfig's `defaultConfig`. */
const proxyConfig: Check = (value) => {
  const document = parseDocument(value);
  if (document.errors.length > 0) return `is no YAML: ${document.errors[0]?.message.split('\n')[0]}`;
  const config: unknown = document.toJS();
  if (!isObject(config)) return 'is no mapping';
  const { problems } = parseMeshConfig({ name: '', content: JSON.stringify({ defaultConfig: config }) });
  const errors = problems.filter(({ severity }) => severity === 'error');
  return errors.length === 0
    ? undefined
    : errors.map(({ path, message }) => `is wrong: ${path}: ${message}`).join(', ');
};

/** Istio's names of levels, and those of the proxy. */
export const LOG_LEVEL_WORDS: Readonly<Record<string, string>> = {
  trace: 'trace',
  debug: 'debug',
  info: 'info',
  warning: 'warn',
  warn: 'warn',
  error: 'error',
  critical: 'fatal',
  fatal: 'fatal',
  off: 'silent',
  none: 'silent',
  silent: 'silent',
};

const CHECKS: Readonly<Record<string, Check>> = {
  'inject.istio.io/templates': anything,
  'prometheus.istio.io/merge-metrics': flag,
  'proxy.istio.io/config': proxyConfig,
  'proxy.istio.io/overrides': json,
  'readiness.status.sidecar.istio.io/failureThreshold': whole,
  'readiness.status.sidecar.istio.io/initialDelaySeconds': whole,
  'readiness.status.sidecar.istio.io/periodSeconds': whole,
  'sidecar.istio.io/inject': anything,
  'sidecar.istio.io/interceptionMode': interceptionMode,
  'sidecar.istio.io/logLevel': oneOf(...Object.keys(LOG_LEVEL_WORDS)),
  'sidecar.istio.io/nativeSidecar': flag,
  'sidecar.istio.io/proxyCPU': quantity,
  'sidecar.istio.io/proxyCPULimit': quantity,
  'sidecar.istio.io/proxyImage': anything,
  'sidecar.istio.io/proxyMemory': quantity,
  'sidecar.istio.io/proxyMemoryLimit': quantity,
  'sidecar.istio.io/rewriteAppHTTPProbers': flag,
  'sidecar.istio.io/status': anything,
  'sidecar.istio.io/userVolume': json,
  'sidecar.istio.io/userVolumeMount': json,
  'traffic.sidecar.istio.io/excludeInboundPorts': portList(false),
  'traffic.sidecar.istio.io/excludeInterfaces': anything,
  'traffic.sidecar.istio.io/excludeOutboundIPRanges': addressList(false),
  'traffic.sidecar.istio.io/excludeOutboundPorts': portList(false),
  'traffic.sidecar.istio.io/includeInboundPorts': portList(true),
  'traffic.sidecar.istio.io/includeOutboundIPRanges': addressList(true),
  'traffic.sidecar.istio.io/includeOutboundPorts': portList(true),
};

/** Of Istio's, without a meaning here, and why. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  'istio.io/reroute-virtual-interfaces': 'virtual machines inside of pods are not intercepted',
  'readiness.status.sidecar.istio.io/applicationPorts': 'readiness of the application is for its own probes',
  'sidecar.istio.io/agentLogLevel': 'there is no agent; use sidecar.istio.io/logLevel',
  'sidecar.istio.io/bootstrapOverride': 'the proxy has no bootstrap of Envoy; use the template',
  'sidecar.istio.io/componentLogLevel': 'the proxy has one level; use sidecar.istio.io/logLevel',
  'sidecar.istio.io/controlPlaneAuthPolicy': 'the control plane is always called with TLS',
  'sidecar.istio.io/discoveryAddress': 'use discoveryAddress in proxy.istio.io/config',
  'sidecar.istio.io/enableCoreDump': 'the proxy writes no core files',
  'sidecar.istio.io/extraStatTags': 'metrics have the labels that Telemetry says',
  'sidecar.istio.io/proxyImageType': 'there is one image; use sidecar.istio.io/proxyImage',
  'sidecar.istio.io/statsCompression': 'set statsCompression in proxy.istio.io/config',
  'sidecar.istio.io/statsHistogramBuckets': 'histograms have fixed buckets',
  'sidecar.istio.io/statsInclusionPrefixes': 'all statistics are there',
  'sidecar.istio.io/statsInclusionRegexps': 'all statistics are there',
  'sidecar.istio.io/statsInclusionSuffixes': 'all statistics are there',
  'status.sidecar.istio.io/port': 'the port of health and metrics is 15020',
  'traffic.sidecar.istio.io/kubevirtInterfaces': 'virtual machines inside of pods are not intercepted',
};

/** Annotations with these prefixes are Istio's. */
const OWN_PREFIX = /^((traffic|status|readiness\.status)\.)?sidecar\.istio\.io\/|^(inject|proxy)\.istio\.io\//;

/** By name. */
export const KNOWN_ANNOTATIONS: readonly string[] = Object.keys(CHECKS);

export interface AnnotationFindings {
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

export function checkAnnotations(annotations: Readonly<Record<string, string>>): AnnotationFindings {
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const [name, value] of Object.entries(annotations)) {
    const check = Object.hasOwn(CHECKS, name) ? CHECKS[name] : undefined;
    const problem = check?.(value);
    if (problem !== undefined) problems.push(`annotation ${name} ${problem} (${JSON.stringify(value)})`);
    else if (check === undefined) warnings.push(...unknownAnnotation(name));
  }
  return { problems, warnings };
}

function unknownAnnotation(name: string): string[] {
  const without = Object.hasOwn(WITHOUT_EFFECT, name) ? WITHOUT_EFFECT[name] : undefined;
  if (without !== undefined) return [`annotation ${name} has no effect: ${without}`];
  if (!OWN_PREFIX.test(name)) return [];
  const [near] = nearestWords(name, Object.keys(CHECKS), 1);
  return [`annotation ${name} is not known${near === undefined ? '' : `; did you mean ${near}?`}`];
}
