// Translate: the headers that a proxy sets by itself, by MeshConfig and by its workload's annotation.

import { PROXY_CONFIG_ANNOTATION, type ProxyConfig, parseProxyConfig } from '@lateen/istio-config';
import type { MeshSnapshot, Workload } from './model.js';
import { oncePerSnapshot } from './once-per-snapshot.js';

/** What a proxy is told of its headers; what is left out has its default. */
export type ProxyHeaders = NonNullable<ProxyConfig['proxyHeaders']>;

const NOTHING_TOLD: ProxyHeaders = {};

/** By the text of the annotation, which many pods have in common. */
const byAnnotation = oncePerSnapshot(() => new Map<string, ProxyHeaders>());

/** What the workload's annotation says counts before what the mesh says, field by field. */
export function resolveProxyHeaders(snapshot: MeshSnapshot, workload: Workload | undefined): ProxyHeaders {
  const ofMesh = snapshot.meshConfig.defaultConfig?.proxyHeaders ?? NOTHING_TOLD;
  const annotation = workload?.annotations[PROXY_CONFIG_ANNOTATION];
  if (annotation === undefined) return ofMesh;
  const known = byAnnotation(snapshot);
  const result = known.get(annotation) ?? { ...ofMesh, ...parseProxyConfig(annotation)?.proxyHeaders };
  known.set(annotation, result);
  return result;
}

/** Requests say how often they were tried. */
export function countsAttempts({ attemptCount }: ProxyHeaders): boolean {
  return attemptCount?.disabled !== true;
}

/** Requests say what their Host was where a route rewrites it. */
export function tellsRewrittenHost({ xForwardedHost }: ProxyHeaders): boolean {
  return xForwardedHost?.enabled === true;
}

/** What routes depend on of the headers that a proxy sets. */
export function routeHeadersKey(headers: ProxyHeaders): string {
  return `${countsAttempts(headers)}/${tellsRewrittenHost(headers)}`;
}

/** Who we are is told to the services of the mesh alone. */
export function introducesInMeshOnly({ metadataExchangeHeaders }: ProxyHeaders): boolean {
  return metadataExchangeHeaders?.mode === 'IN_MESH';
}

/** What clusters depend on of the headers that a proxy sets. */
export function clusterHeadersKey(headers: ProxyHeaders): string {
  const preserves = headers.preserveHttp1HeaderCase === true ? 'case' : '';
  return introducesInMeshOnly(headers) ? `${preserves}in-mesh` : preserves;
}
