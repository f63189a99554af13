// Build: how listeners of ports that say no protocol find out which one it is, and how long they wait for that.

import { create } from '@bufbuild/protobuf';
import { type MeshConfig, parseDurationMs } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import {
  type ListenerFilter,
  ListenerFilterSchema,
} from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { HttpInspectorSchema } from '@lateen/xds-proto/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js';
import { durationOfMs } from '../durations.js';

/** What the HTTP inspector says of a plain connection that speaks HTTP. */
export const PLAIN_HTTP_ALPN = ['http/1.0', 'http/1.1', 'h2c'];

/**
 * How long a client may say nothing before its server may speak, where MeshConfig does not say it. Istio's own default
 * is no limit, with which a server that speaks first waits for ever.
 */
const DEFAULT_TIMEOUT_MS = 1000;

/** `protocolDetectionTimeout`, 0 where there is no limit. */
export function detectionTimeoutMs({ protocolDetectionTimeout: text }: MeshConfig): number {
  return (text === undefined ? undefined : parseDurationMs(text)) ?? DEFAULT_TIMEOUT_MS;
}

/** What has sent too little by then is taken for mere bytes. */
export function detectionLimit(
  meshConfig: MeshConfig,
): Pick<Listener, 'listenerFiltersTimeout' | 'continueOnListenerFiltersTimeout'> {
  return {
    listenerFiltersTimeout: durationOfMs(detectionTimeoutMs(meshConfig)),
    continueOnListenerFiltersTimeout: true,
  };
}

/** Looks at the first bytes of plain connections, for the choice of the filter chain; it comes after the TLS inspector. */
export function httpInspector(): ListenerFilter {
  return create(ListenerFilterSchema, {
    name: 'envoy.filters.listener.http_inspector',
    configType: { case: 'typedConfig', value: packAny(HttpInspectorSchema, create(HttpInspectorSchema)) },
  });
}
