// Fields: which workloads or resources a configuration is for.

import type { z } from 'zod';
import { labels } from '../../declare/labels.js';
import { message, nested, required } from '../../declare/message.js';
import { text } from '../../declare/scalars.js';

/** A selector of the security and telemetry APIs. */
export const workloadSelector = message(
  'WorkloadSelector',
  { matchLabels: labels('Labels that a workload has to have, all of them.') },
  { instead: { labels: 'matchLabels' } },
);

/** A selector of the networking API. */
export const networkSelector = message(
  'WorkloadSelector',
  { labels: labels('Labels that a workload has to have, all of them.') },
  { instead: { matchLabels: 'labels' } },
);

/** A reference to a resource that a policy attaches to. */
export const targetReference = message('PolicyTargetReference', {
  group: text("The resource's API group."),
  kind: required(text("The resource's kind.", { minLength: 1 })),
  name: required(text("The resource's name.", { minLength: 1 })),
  namespace: text("The resource's namespace; only the policy's own is allowed."),
});

/** The fields by which a policy says where it applies. */
export const attachment = {
  selector: nested(workloadSelector, 'The workloads that this is for; none: all of the namespace.'),
  targetRef: nested(targetReference, 'The resource that this is for (before targetRefs).'),
  targetRefs: targetReference.array().optional().describe('The resources that this is for.'),
};

export type WorkloadSelector = z.infer<typeof workloadSelector>;
export type NetworkSelector = z.infer<typeof networkSelector>;
