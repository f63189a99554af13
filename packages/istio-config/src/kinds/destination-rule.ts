// Kind DestinationRule: how a service is called, and its subsets.

import type { z } from 'zod';
import { dnsLabel, wildcardHost } from '../declare/formats.js';
import { labels } from '../declare/labels.js';
import { list, message, nested, required } from '../declare/message.js';
import { text } from '../declare/scalars.js';
import { exportTo } from './fields/export-to.js';
import { workloadSelector } from './fields/selector.js';
import { trafficPolicy } from './fields/traffic-policy.js';

/** Endpoints of a service with certain labels. */
export const subset = message('Subset', {
  name: required(text('A name; routes refer to it.', { format: dnsLabel })),
  labels: labels('Labels that its endpoints have, all of them.'),
  trafficPolicy: nested(trafficPolicy, 'In place of the policy of the whole service, setting by setting.'),
});

/** The spec of a DestinationRule. */
export const destinationRule = message(
  'DestinationRule',
  {
    host: required(text("The service's host; may be a wildcard.", { format: wildcardHost })),
    trafficPolicy: nested(trafficPolicy, 'How the service is called.'),
    subsets: list(subset, 'Its subsets.'),
    exportTo,
    workloadSelector: nested(workloadSelector, 'The callers that this is for; none: all.'),
  },
  { instead: { hosts: 'host', subset: 'subsets' } },
);

export type DestinationRuleSpec = z.infer<typeof destinationRule>;
export type Subset = z.infer<typeof subset>;
