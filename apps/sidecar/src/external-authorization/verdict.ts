// External authorization: what an authorizer's answer comes to, whichever protocol it speaks.

import type { HeaderChange, RequestChanges } from './header-change.js';

export type Verdict =
  | {
      readonly kind: 'allowed';
      readonly request: RequestChanges;
      /** Of the answer to the client. */
      readonly answer: readonly HeaderChange[];
      readonly metadata: readonly (readonly [string, string])[];
    }
  | {
      readonly kind: 'denied';
      readonly status: number;
      readonly body: string;
      readonly headers: readonly HeaderChange[];
      readonly metadata: readonly (readonly [string, string])[];
    }
  | { readonly kind: 'failed'; readonly reason: string };

export const NO_CHANGES: RequestChanges = { headers: [], removed: [], parametersSet: [], parametersRemoved: [] };

/** Whether it says anything that should have an effect. */
export function changesRequest({ headers, removed, parametersSet, parametersRemoved }: RequestChanges): boolean {
  return headers.length + removed.length + parametersSet.length + parametersRemoved.length > 0;
}
