// Meaning of changes to headers.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import type { Headers } from '../kinds/fields/headers.js';
import type { FieldPath } from '../problem.js';
import { isAuthorityHeader } from './http-route-parts.js';
import { present, presentEntries } from './rule.js';

/** Headers that the proxy itself owns, so that a route cannot change them (RFC 9110's hop-by-hop and framing). */
const OWNED: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Checks the changes of both directions. */
export function checkHeaderChanges(headers: Loose<Headers> | undefined, path: FieldPath, faults: FaultList): void {
  for (const direction of ['request', 'response'] as const) {
    const changes = headers?.[direction];
    for (const field of ['set', 'add'] as const) {
      for (const [name, value] of presentEntries(changes?.[field])) {
        const at = [...path, direction, field, name];
        checkName(name, direction, at, 'key', faults);
        if (value.includes('%')) {
          const message =
            'a `%` begins a variable in a header value, and variables are not supported yet; write it without';
          faults.error(at, 'unsupported', message);
        }
      }
      checkCaseDuplicates(changes?.[field], [...path, direction, field], faults);
    }
    for (const [index, name] of present(changes?.remove)) {
      checkName(name, direction, [...path, direction, 'remove', index], 'value', faults);
    }
  }
}

function checkName(
  name: string,
  direction: 'request' | 'response',
  path: FieldPath,
  part: 'key' | 'value',
  faults: FaultList,
): void {
  if (isAuthorityHeader(name)) {
    const advice = direction === 'request' ? 'use `rewrite.authority`' : 'remove it';
    faults.error(path, 'unsupported', `the header \`${name}\` cannot be changed here; ${advice}`, part);
  } else if (OWNED.has(name.toLowerCase())) {
    faults.error(
      path,
      'header-name',
      `the header \`${name}\` belongs to the proxy and cannot be changed; remove it`,
      part,
    );
  }
}

function checkCaseDuplicates(map: object | undefined, path: FieldPath, faults: FaultList): void {
  const seen = new Set<string>();
  for (const name of Object.keys(map ?? {})) {
    const lower = name.toLowerCase();
    if (seen.has(lower)) {
      const message = `the header \`${name}\` is there twice (case does not matter); keep one`;
      faults.error([...path, name], 'duplicate', message, 'key');
    }
    seen.add(lower);
  }
}
