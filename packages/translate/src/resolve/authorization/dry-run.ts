// Resolve: whether an AuthorizationPolicy is tried only.

import type { StringMap } from '../../model.js';

/** As Istio reads it; with any other value the policy is enforced. */
const YES = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);

/** What the policy decides is told, and lets pass. */
export function isDryRun(annotations: StringMap): boolean {
  return YES.has(annotations['istio.io/dry-run'] ?? '');
}
