// Kind PeerAuthentication: whether callers need mutual TLS.
import type { z } from 'zod';
import { map, message, nested } from '../declare/message.js';
import { choice } from '../declare/scalars.js';
import { workloadSelector } from './fields/selector.js';

/** Whether callers need mutual TLS. */
export const mutualTls = message('MutualTLS', {
  mode: choice(
    'STRICT: only mutual TLS; PERMISSIVE: plain text too; UNSET: as the policy above (default PERMISSIVE).',
    ['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT'],
  ),
});

/** The spec of a PeerAuthentication. */
export const peerAuthentication = message(
  'PeerAuthentication',
  {
    selector: nested(workloadSelector, 'The workloads that this is for; none: all of the namespace.'),
    mtls: nested(mutualTls, 'For all ports.'),
    portLevelMtls: map(mutualTls, 'For single ports of the workload, by number; needs a selector.'),
  },
  { instead: { mode: 'mtls.mode', mTLS: 'mtls', mTls: 'mtls', peers: 'mtls' } },
);

export type PeerAuthenticationSpec = z.infer<typeof peerAuthentication>;
export type MutualTlsMode = NonNullable<z.infer<typeof mutualTls>['mode']>;
