// Fields: how an endpoint is picked.
import type { z } from 'zod';
import { headerName } from '../../declare/formats.js';
import { list, map, message, nested, required } from '../../declare/message.js';
import { choice, decimal, duration, flag, integer, text } from '../../declare/scalars.js';

const UINT64_SAFE_MAX = Number.MAX_SAFE_INTEGER;

/** An attribute of a cookie. */
export const cookieAttribute = message('HTTPCookieAttribute', {
  name: required(text('Its name.', { minLength: 1 })),
  value: text('Its value.'),
});

/** Hashes on a cookie, made where it is absent. */
export const httpCookie = message('HTTPCookie', {
  name: required(text("The cookie's name.", { minLength: 1 })),
  path: text("The cookie's path."),
  ttl: duration('How long the cookie lives; 0s: for the session.', { minMs: 0 }),
  attributes: list(cookieAttribute, 'More attributes.'),
});

/** Endpoints by a hash of the request. */
export const consistentHash = message(
  'ConsistentHashLB',
  {
    httpHeaderName: text('Hash on this header.', { format: headerName }),
    httpCookie: nested(httpCookie, 'Hash on this cookie.'),
    useSourceIp: flag("Hash on the client's address."),
    httpQueryParameterName: text('Hash on this query parameter.', { minLength: 1 }),
    ringHash: nested(
      message('RingHash', {
        minimumRingSize: integer('Least number of points (default 1024).', { max: UINT64_SAFE_MAX }),
      }),
      'A ring of points.',
    ),
    maglev: nested(
      message('MagLev', { tableSize: integer('Size of the table, a prime (default 65537).', { max: 5_000_010 }) }),
      'A Maglev table.',
    ),
    minimumRingSize: integer('Before ringHash.', { max: UINT64_SAFE_MAX }),
  },
  {
    atMostOneOf: [
      ['httpHeaderName', 'httpCookie', 'useSourceIp', 'httpQueryParameterName'],
      ['ringHash', 'maglev'],
    ],
  },
);

/** Where traffic of one locality goes. */
export const localityDistribute = message('Distribute', {
  from: text('The locality of the client, REGION/ZONE/SUBZONE or a prefix with *.'),
  to: map(integer('', { min: 1, max: 100 }), 'Percent by locality; the sum is 100.'),
});

/** Where traffic of one region goes when that fails. */
export const localityFailover = message('Failover', {
  from: text('The region that fails.'),
  to: text('The region that takes over.'),
});

/** Load balancing by locality. */
export const localityLbSetting = message(
  'LocalityLoadBalancerSetting',
  {
    distribute: list(localityDistribute, 'Fixed shares.'),
    failover: list(localityFailover, 'Who takes over.'),
    failoverPriority: list(text('', { minLength: 1 }), 'Labels by which endpoints are put into priorities.'),
    enabled: flag('Whether it is on (default true).'),
  },
  {
    atMostOneOf: [
      ['distribute', 'failover'],
      ['distribute', 'failoverPriority'],
    ],
  },
);

/** New endpoints get their share slowly. */
export const warmup = message('WarmupConfiguration', {
  duration: required(duration('How long.')),
  minimumPercent: decimal('Share at the beginning, in percent (default 10).', { min: 0, max: 100 }),
  aggression: decimal('How steeply the share grows (default 1: evenly).', { min: 1 }),
});

/** How an endpoint is picked. */
export const loadBalancerSettings = message(
  'LoadBalancerSettings',
  {
    simple: choice('The algorithm (default LEAST_REQUEST).', [
      'UNSPECIFIED',
      'LEAST_CONN',
      'RANDOM',
      'PASSTHROUGH',
      'ROUND_ROBIN',
      'LEAST_REQUEST',
    ]),
    consistentHash: nested(consistentHash, 'By a hash of the request.'),
    localityLbSetting: nested(localityLbSetting, 'By locality.'),
    warmupDurationSecs: duration('Before warmup.'),
    warmup: nested(warmup, 'New endpoints get their share slowly.'),
  },
  {
    atMostOneOf: [
      ['simple', 'consistentHash'],
      ['warmup', 'warmupDurationSecs'],
    ],
  },
);

export type LoadBalancerSettings = z.infer<typeof loadBalancerSettings>;
export type LocalityLbSetting = z.infer<typeof localityLbSetting>;
