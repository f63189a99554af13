// Fields: where a route leads.
import type { z } from 'zod';
import { destinationHost, dnsLabel } from '../../declare/formats.js';
import { message, nested, required } from '../../declare/message.js';
import { decimal, integer, portNumber, text } from '../../declare/scalars.js';
import { headers } from './headers.js';

/** A port by its number. */
export const portSelector = message('PortSelector', { number: portNumber('The port of the service.') });

/** A service, or a subset of it. */
export const destination = message(
  'Destination',
  {
    host: required(
      text("The service's host; a short name is taken in this resource's namespace.", { format: destinationHost }),
    ),
    subset: text('A subset that a DestinationRule defines.', { format: dnsLabel }),
    port: nested(portSelector, 'The port; needed where the service has several.'),
  },
  { instead: { service: 'host', name: 'host', version: 'subset' } },
);

/** A destination of HTTP requests, with its share. */
export const httpRouteDestination = message(
  'HTTPRouteDestination',
  {
    destination: required(nested(destination, 'The service.')),
    weight: integer('Share of the requests, relative to the sum; a single destination gets all.'),
    headers: nested(headers, 'Changes to headers for this destination only.'),
  },
  { instead: { host: 'destination.host', subset: 'destination.subset' } },
);

/** A destination of connections, with its share. */
export const routeDestination = message(
  'RouteDestination',
  {
    destination: required(nested(destination, 'The service.')),
    weight: integer('Share of the connections, relative to the sum.'),
  },
  { instead: { host: 'destination.host', subset: 'destination.subset' } },
);

/** A percentage with a fraction. */
export const percent = message('Percent', {
  value: decimal('From 0 to 100; 0.1 is one in a thousand.', { min: 0, max: 100 }),
});

export type Destination = z.infer<typeof destination>;
export type HttpRouteDestination = z.infer<typeof httpRouteDestination>;
export type RouteDestination = z.infer<typeof routeDestination>;
