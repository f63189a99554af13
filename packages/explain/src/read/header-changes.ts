// Read: header changes of Envoy's messages in the words of a VirtualService.

import { HeaderValueOption_HeaderAppendAction as AppendAction } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { VirtualHost } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { HeaderChanges } from '../explanation.js';

/** The fields that virtual hosts, routes, weighted clusters and route configurations share. */
export type WithHeaderChanges = Pick<
  VirtualHost,
  'requestHeadersToAdd' | 'requestHeadersToRemove' | 'responseHeadersToAdd' | 'responseHeadersToRemove'
>;

/** @param levels in the order in which they are applied */
export function headerChanges(side: 'request' | 'response', levels: readonly WithHeaderChanges[]): HeaderChanges {
  const set = new Map<string, string>();
  const add = new Map<string, string>();
  const remove = new Set<string>();
  for (const level of levels) {
    const toRemove = side === 'request' ? level.requestHeadersToRemove : level.responseHeadersToRemove;
    const toAdd = side === 'request' ? level.requestHeadersToAdd : level.responseHeadersToAdd;
    for (const header of toRemove) {
      const name = header.toLowerCase();
      set.delete(name);
      add.delete(name);
      remove.add(name);
    }
    for (const { header, appendAction } of toAdd) {
      const name = (header?.key ?? '').toLowerCase();
      const value = header?.value ?? '';
      if (
        appendAction === AppendAction.OVERWRITE_IF_EXISTS_OR_ADD ||
        appendAction === AppendAction.OVERWRITE_IF_EXISTS
      ) {
        add.delete(name);
        remove.delete(name);
        set.set(name, value);
      } else {
        const before = add.get(name);
        add.set(name, before === undefined ? value : `${before},${value}`);
      }
    }
  }
  return { set: Object.fromEntries(set), add: Object.fromEntries(add), remove: [...remove] };
}
