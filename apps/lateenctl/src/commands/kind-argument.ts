// Commands: reads a KIND argument in any of the spellings that users know.

import { ISTIO_KINDS, type KindDescription, KUBERNETES_KINDS, kindByName } from '@lateen/istio-config';
import { UsageError } from '../output/cli-error.js';

/** `others`: what the command takes beside the declared kinds. @throws UsageError listing the kinds and `others` */
export function requireKind(text: string, others: readonly string[] = []): KindDescription {
  const kind = kindByName(text);
  if (kind !== undefined) return kind;
  throw new UsageError(`unknown kind "${text}"; one of ${[...ISTIO_KINDS, ...KUBERNETES_KINDS, ...others].join(', ')}`);
}

/** True for the spellings of Pod, which exists only while the mesh runs. */
export function isPodKind(text: string): boolean {
  return ['pod', 'pods', 'po'].includes(text.toLowerCase());
}
