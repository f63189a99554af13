// Test harness: what a proxy still lacks of a snapshot that it is served.

import { shortTypeName, TYPE_URL } from '@lateen/xds-proto';
import type { AdsTypeReport, ServedSnapshot } from '@lateen/xds-stream';

const SERVED_TYPES = [TYPE_URL.secret, TYPE_URL.cluster, TYPE_URL.endpoint, TYPE_URL.listener, TYPE_URL.route];

/** What a proxy still lacks of a snapshot, or holds beside it, in words; empty once it has taken all of it. */
export function notTaken(types: readonly AdsTypeReport[], { resources }: ServedSnapshot): string[] {
  return SERVED_TYPES.flatMap((typeUrl) => {
    const expected = resources.get(typeUrl) ?? new Map<string, { readonly version: string }>();
    const report = types.find((type) => type.typeUrl === typeUrl);
    const held = report?.resources ?? new Map<string, { readonly version: string }>();
    const type = shortTypeName(typeUrl);
    const different = [...expected].filter(([resource, { version }]) => held.get(resource)?.version !== version);
    const surplus = [...held.keys()].filter((resource) => !expected.has(resource));
    const waiting = expected.size > 0 && report?.status !== 'SYNCED' ? [`${type} is ${report?.status}`] : [];
    return [
      ...waiting,
      ...different.map(([resource]) => `${type} ${resource} is not held`),
      ...surplus.map((resource) => `${type} ${resource} is still held`),
    ];
  });
}
