// Build: the listener of a port at which a workload takes calls.

import { create } from '@bufbuild/protobuf';
import { TrafficDirection } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { ProxyView } from '../../../proxy-view.js';
import type { InboundPort } from '../../../resolve/inbound-ports.js';
import { listenerName } from '../../names.js';
import { type ListenerPlan, socketAddress, tlsInspector } from '../listener-plan.js';
import { detectionLimit, detectionTimeoutMs, httpInspector } from '../protocol-detection.js';
import { inboundChains, inboundKey, inspectionOf } from './inbound-chains.js';

/** The listener `IP_PORT` of a port of the workload. */
export function inboundListener(view: ProxyView, inbound: InboundPort): ListenerPlan {
  const { ip, port } = inbound;
  const { meshConfig } = view.snapshot;
  const name = listenerName(ip, port);
  const { tls, http, waits } = inspectionOf(inbound);
  return {
    name,
    key: `${inboundKey(view, inbound)}/${waits ? detectionTimeoutMs(meshConfig) : ''}`,
    address: { ip, port },
    additionalAddresses: [],
    build: () =>
      create(ListenerSchema, {
        name,
        address: socketAddress({ ip, port }),
        trafficDirection: TrafficDirection.INBOUND,
        listenerFilters: [...(tls ? [tlsInspector()] : []), ...(http ? [httpInspector()] : [])],
        ...(waits ? detectionLimit(meshConfig) : {}),
        filterChains: [...inboundChains(view, inbound, name)],
      }),
  };
}
