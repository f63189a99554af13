// Kind Sidecar: what the proxies of some workloads take in and may call.
import type { z } from 'zod';
import { list, message, nested, required } from '../declare/message.js';
import { choice, text } from '../declare/scalars.js';
import { connectionPoolSettings } from './fields/connection-pool.js';
import { destination } from './fields/destination.js';
import { networkSelector } from './fields/selector.js';
import { serverTlsSettings, sidecarPort } from './fields/server.js';

const CAPTURE_MODES = ['DEFAULT', 'IPTABLES', 'NONE'] as const;

/** A listener for requests to the workload. */
export const ingressListener = message('IstioIngressListener', {
  port: required(nested(sidecarPort, 'The port.')),
  bind: text('Address that is listened on.'),
  captureMode: choice('How connections get here.', CAPTURE_MODES),
  defaultEndpoint: text(
    'Where the workload listens: 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT, unix:///PATH.',
  ),
  tls: nested(serverTlsSettings, 'TLS of the port.'),
  connectionPool: nested(connectionPoolSettings, 'Limits.'),
});

/** A listener for requests of the workload. */
export const egressListener = message('IstioEgressListener', {
  port: nested(sidecarPort, 'The port; none: all ports that no other listener has.'),
  bind: text('Address that is listened on.'),
  captureMode: choice('How connections get here.', CAPTURE_MODES),
  hosts: required(list(text(''), 'Services, NAMESPACE/HOST; both may be *, the namespace . or ~.', { min: 1 })),
});

/** What happens to calls of unknown hosts. */
export const outboundTrafficPolicy = message('OutboundTrafficPolicy', {
  mode: choice('Whether unknown hosts may be called (default: the mesh).', ['REGISTRY_ONLY', 'ALLOW_ANY']),
  egressProxy: nested(destination, 'The service, most often a gateway, that calls of unknown hosts go to.'),
});

/** The spec of a Sidecar. */
export const sidecar = message('Sidecar', {
  workloadSelector: nested(networkSelector, 'The workloads that this is for; none: all of the namespace.'),
  ingress: list(ingressListener, 'Listeners for requests to the workload (default: from its Service).'),
  egress: list(egressListener, 'What the workload may call (default: all services).'),
  inboundConnectionPool: nested(connectionPoolSettings, 'Limits for requests to the workload.'),
  outboundTrafficPolicy: nested(outboundTrafficPolicy, 'What happens to calls of unknown hosts.'),
});

export type SidecarSpec = z.infer<typeof sidecar>;
