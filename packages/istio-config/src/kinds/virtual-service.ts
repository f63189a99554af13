// Kind VirtualService: which requests for a host go where.
import type { z } from 'zod';
import { list, message } from '../declare/message.js';
import { text } from '../declare/scalars.js';
import { exportTo } from './fields/export-to.js';
import { httpRoute } from './fields/http-route.js';
import { tcpRoute, tlsRoute } from './fields/tcp-route.js';

/** The spec of a VirtualService. */
export const virtualService = message(
  'VirtualService',
  {
    hosts: list(text(''), 'Hosts that requests are for: names, short names, wildcards, addresses.'),
    gateways: list(text(''), 'Gateways, NAME or NAMESPACE/NAME; `mesh` (the default): all sidecars.'),
    http: list(httpRoute, 'Rules for HTTP; the first that matches is taken.'),
    tls: list(tlsRoute, 'Rules for TLS that is not terminated.'),
    tcp: list(tcpRoute, 'Rules for TCP.'),
    exportTo,
  },
  { instead: { host: 'hosts', gateway: 'gateways', route: 'http[].route', routes: 'http' } },
);

export type VirtualServiceSpec = z.infer<typeof virtualService>;
