// Fields: which workloads or resources a configuration is for.

import type { z } from 'zod';
import { labels } from '../../declare/labels.js';
import { list, message, nested, required } from '../../declare/message.js';
import { text } from '../../declare/scalars.js';

/** A selector of the security and telemetry APIs. */
export const workloadSelector = message(
  'WorkloadSelector',
  { matchLabels: labels('Labels that a workload has to have, all of them.') },
  { instead: { labels: 'matchLabels' } },
);

/** A selector of Kubernetes, for namespaces. */
export const namespaceSelector = message('LabelSelector', {
  matchLabels: labels('Labels that a namespace has to have, all of them.'),
  matchExpressions: list(
    message('LabelSelectorRequirement', {
      key: required(text('The label.', { minLength: 1 })),
      operator: required(text('How it is compared: In, NotIn, Exists or DoesNotExist.')),
      values: list(text(''), 'The values, for In and NotIn.'),
    }),
    'Conditions, all of them.',
  ),
});

/** A selector of the networking API. */
export const networkSelector = message(
  'WorkloadSelector',
  { labels: labels('Labels that a workload has to have, all of them.') },
  { instead: { matchLabels: 'labels' } },
);

/** A reference to a resource that a policy attaches to. */
export const targetReference = message('PolicyTargetReference', {
  group: text("The resource's API group; empty for Kubernetes's own Service.", { maxLength: 253 }),
  kind: required(
    text("The resource's kind: Service, ServiceEntry, Gateway or GatewayClass.", { minLength: 1, maxLength: 63 }),
  ),
  name: required(text("The resource's name.", { minLength: 1, maxLength: 253 })),
  namespace: text("The resource's namespace; only the policy's own is allowed, so it is left out."),
});

/** The resources that a policy attaches to. */
export const targetReferences = list(targetReference, 'The resources that this is for.', { max: 16 });

/** The fields by which a policy says where it applies. */
export const attachment = {
  selector: nested(workloadSelector, 'The workloads that this is for; none: all of the namespace.'),
  targetRef: nested(targetReference, 'The resource that this is for (before targetRefs).'),
  targetRefs: targetReferences,
};

export type TargetReference = z.infer<typeof targetReference>;
export type WorkloadSelector = z.infer<typeof workloadSelector>;
export type NetworkSelector = z.infer<typeof networkSelector>;
