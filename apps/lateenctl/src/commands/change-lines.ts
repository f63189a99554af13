// Commands: what `apply` and `delete` print, in kubectl's words: "virtualservice.networking.istio.io/reviews created".

import { describeKind, isKind } from '@lateen/istio-config';
import { print } from '../output/print.js';
import type { Change } from './apply-sources.js';

/** Prints one line for each change. */
export function printChanges(changes: readonly Change[], dryRun: boolean): void {
  for (const change of changes) {
    const group = isKind(change.kind) ? describeKind(change.kind).group : '';
    const kind = `${change.kind.toLowerCase()}${group === '' ? '' : `.${group}`}`;
    print(`${kind}/${change.name} ${change.action}${dryRun ? ' (dry run)' : ''}`);
  }
}
