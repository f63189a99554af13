// Fields: rules for connections: plain TCP, and TLS that is not terminated.

import type { z } from 'zod';
import { dnsLabel, subnet } from '../../declare/formats.js';
import { labels } from '../../declare/labels.js';
import { list, message, required } from '../../declare/message.js';
import { portNumber, text } from '../../declare/scalars.js';
import { routeDestination } from './destination.js';

const connectionMatch = {
  destinationSubnets: list(text('', { format: subnet }), 'Addresses that the connection was opened to.'),
  port: portNumber('The port that the connection was opened to.'),
  sourceLabels: labels('Labels of the workload that connects.'),
  gateways: list(text(''), 'Gateways for which this match is; overrides the list above.'),
  sourceNamespace: text('Namespace of the workload that connects.', { format: dnsLabel }),
};

/** Which connections a TCP rule is for. */
export const l4Match = message('L4MatchAttributes', {
  ...connectionMatch,
  sourceSubnet: text('Not implemented by Istio either.', { format: subnet }),
});

/** Which connections a TLS rule is for. */
export const tlsMatch = message('TLSMatchAttributes', {
  ...connectionMatch,
  sniHosts: required(list(text(''), 'Names in the ClientHello.', { min: 1 })),
});

/** One rule for TCP connections. */
export const tcpRoute = message('TCPRoute', {
  match: list(l4Match, 'Which connections; none: all.'),
  route: list(routeDestination, 'Where they go, by weight.'),
});

/** One rule for TLS connections that pass through. */
export const tlsRoute = message('TLSRoute', {
  match: required(list(tlsMatch, 'Which connections.', { min: 1 })),
  route: list(routeDestination, 'Where they go, by weight.'),
});

export type TcpRoute = z.infer<typeof tcpRoute>;
export type TlsRoute = z.infer<typeof tlsRoute>;
