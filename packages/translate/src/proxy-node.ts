// Translate: reads an Envoy Node into the proxy that asks.

import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import type { Locality, Node } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { ProxyNode, ProxyNodeResult, ProxyType } from './model.js';

/** The form only: the address is what the proxy says of itself, nobody connects to it. */
const IP_ADDRESS = /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+)$/;
const INTERCEPTION_MODES = ['NONE', 'REDIRECT', 'TPROXY'] as const;

function stringOf(metadata: JsonObject, key: string, errors: string[]): string {
  const value = metadata[key];
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  errors.push(`node metadata ${key}: expected a string, got ${JSON.stringify(value)}`);
  return '';
}

function labelsOf(value: JsonValue | undefined, errors: string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  if (value === undefined || value === null) return labels;
  if (typeof value !== 'object' || Array.isArray(value)) {
    errors.push(`node metadata LABELS: expected an object of strings, got ${JSON.stringify(value)}`);
    return labels;
  }
  for (const [key, label] of Object.entries(value)) {
    if (typeof label === 'string') labels[key] = label;
    else errors.push(`node metadata LABELS.${key}: expected a string, got ${JSON.stringify(label)}`);
  }
  return labels;
}

function interceptionModeOf(metadata: JsonObject, errors: string[]): ProxyNode['interceptionMode'] {
  const text = stringOf(metadata, 'INTERCEPTION_MODE', errors);
  const mode = INTERCEPTION_MODES.find((known) => known === text);
  if (text !== '' && mode === undefined) {
    errors.push(`node metadata INTERCEPTION_MODE: ${text} is none of ${INTERCEPTION_MODES.join(', ')}`);
  }
  return mode ?? 'REDIRECT';
}

function localityText(locality: Locality | undefined): string {
  const { region = '', zone = '', subZone = '' } = locality ?? {};
  return region === '' && zone === '' && subZone === '' ? '' : `${region}/${zone}/${subZone}`;
}

/** Istio's name for who makes the resources; absent for a proxy. */
function isProxyless(metadata: JsonObject, type: string, errors: string[]): boolean {
  const generator = stringOf(metadata, 'GENERATOR', errors);
  if (generator === '') return false;
  if (generator !== 'grpc') errors.push(`node metadata GENERATOR: ${generator} is not known; only grpc is`);
  if (type === 'router')
    errors.push('node metadata GENERATOR: a client without a proxy has the type sidecar, not router');
  return true;
}

/**
 * Reads the node of a discovery request. The id is Istio's: `TYPE~IP~POD.NAMESPACE~DNS-DOMAIN` with TYPE `sidecar` or
 * `router`; metadata as docs/architecture.md lists it. Returns every fault at once.
 */
export function parseProxyNode(node: Node | undefined): ProxyNodeResult {
  if (node === undefined || node.id === '') {
    return { ok: false, errors: ['the first request has no node id; expected TYPE~IP~POD.NAMESPACE~DOMAIN'] };
  }
  const errors: string[] = [];
  const parts = node.id.split('~');
  if (parts.length !== 4) {
    const found = `node id "${node.id}" has ${parts.length} parts`;
    return { ok: false, errors: [`${found}; expected TYPE~IP~POD.NAMESPACE~DOMAIN`] };
  }
  const [type, ipAddress, podId] = parts as [string, string, string, string];
  if (type !== 'sidecar' && type !== 'router') {
    errors.push(`node id "${node.id}": type "${type}" is neither sidecar nor router`);
  }
  if (!IP_ADDRESS.test(ipAddress)) {
    errors.push(`node id "${node.id}": "${ipAddress}" is not an IP address`);
  }
  // Pod names may contain dots, namespaces may not.
  const dot = podId.lastIndexOf('.');
  const podName = podId.slice(0, Math.max(dot, 0));
  const namespace = podId.slice(dot + 1);
  if (podName === '' || namespace === '') errors.push(`node id "${node.id}": "${podId}" is not POD.NAMESPACE`);

  const metadata: JsonObject = node.metadata ?? {};
  const declared = stringOf(metadata, 'NAMESPACE', errors);
  if (declared !== '' && declared !== namespace) {
    errors.push(`node metadata NAMESPACE "${declared}" contradicts the node id's namespace "${namespace}"`);
  }
  const proxy: ProxyNode = {
    id: node.id,
    type: type as ProxyType,
    ipAddress,
    podName,
    namespace,
    serviceAccount: stringOf(metadata, 'SERVICE_ACCOUNT', errors),
    workloadName: stringOf(metadata, 'WORKLOAD_NAME', errors),
    clusterId: stringOf(metadata, 'CLUSTER_ID', errors) || 'Kubernetes',
    locality: localityText(node.locality),
    labels: labelsOf(metadata.LABELS, errors),
    interceptionMode: interceptionModeOf(metadata, errors),
    understandsIstioFilters:
      stringOf(metadata, 'LATEEN_VERSION', errors) !== '' || stringOf(metadata, 'ISTIO_VERSION', errors) !== '',
    proxyless: isProxyless(metadata, type, errors),
    metadata,
  };
  return errors.length > 0 ? { ok: false, errors } : { ok: true, proxy };
}
