// Meaning of changes to headers.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { HeaderOperations, Headers } from '../../kinds/fields/headers.js';
import type { FieldPath } from '../../problem.js';
import { present, presentEntries } from '../rule.js';

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

/** Host, by either of its names. */
export function isAuthorityHeader(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === ':authority' || lower === 'host';
}

/** Checks the changes of both directions. */
export function checkHeaderChanges(headers: Loose<Headers> | undefined, path: FieldPath, faults: FaultList): void {
  for (const direction of ['request', 'response'] as const) {
    const changes = headers?.[direction];
    for (const field of ['set', 'add'] as const) {
      for (const [name, value] of presentEntries(changes?.[field])) {
        const at = [...path, direction, field, name];
        checkName(name, direction, at, 'key', faults);
        checkPercents(value, at, faults);
      }
      checkCaseDuplicates(changes?.[field], [...path, direction, field], faults);
    }
    if (direction === 'request') checkOneAuthority(changes, [...path, direction], faults);
    for (const [index, name] of present(changes?.remove)) {
      checkName(name, direction, [...path, direction, 'remove', index], 'value', faults);
    }
  }
}

/** `%%` is a percent sign, `%NAME%` and `%NAME(ARGUMENTS):LENGTH%` are variables (Envoy's formatter). */
const PERCENT = /%%|%[A-Z_0-9]+(?:\([^()]*\))?(?::\d+)?%/g;

/** What Envoy would take for variables. */
export function checkPercents(value: string, path: FieldPath, faults: FaultList): void {
  if (value.replace(PERCENT, '').includes('%')) {
    const message = 'a `%` begins a variable in a header value and none is here; write `%%` for a percent sign';
    faults.error(path, 'header-value', message);
  } else if (value.replaceAll('%%', '').includes('%')) {
    const message =
      'a `%` begins a variable in a header value, and variables are not supported yet; write `%%` for a percent sign';
    faults.error(path, 'unsupported', message);
  }
}

/** The host has two names and two places to be written; only one of them can win. */
function checkOneAuthority(changes: Loose<HeaderOperations> | undefined, path: FieldPath, faults: FaultList): void {
  const written = (['set', 'add'] as const).flatMap((field) =>
    Object.keys(changes?.[field] ?? {})
      .filter(isAuthorityHeader)
      .map((name) => ({ field, name })),
  );
  for (const { field, name } of written.slice(1)) {
    const message = `the host is set twice here, by \`${written[0]?.name}\` too; keep one`;
    faults.error([...path, field, name], 'one-of', message, 'key');
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
    // Writing it changes the host that is forwarded, as `rewrite.authority` does; anything else makes no sense.
    if (direction === 'request' && part === 'key') return;
    faults.error(path, 'header-name', `the header \`${name}\` cannot be changed here; remove it`, part);
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
