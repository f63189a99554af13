// Meaning of one match of an HTTP rule.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import { isClaimName } from '../../declare/formats.js';
import type { HttpMatchRequest } from '../../kinds/fields/http-match.js';
import type { StringMatch } from '../../kinds/fields/string-match.js';
import type { FieldPath } from '../../problem.js';
import { checkGatewayNames, presentEntries } from '../rule.js';

const CONDITIONS = ['uri', 'scheme', 'method', 'authority'] as const;

/** Fields of a match that say nothing about requests. */
const NAMES_ONLY: ReadonlySet<string> = new Set(['name', 'statPrefix', 'ignoreUriCase']);

/** Header names that Istio ignores in a match, because they have fields of their own. */
const HAVE_FIELDS: ReadonlySet<string> = new Set(['uri', 'scheme', 'method', 'authority']);

/**
 * Checks one match.
 *
 * @param atGatewayOnly whether the VirtualService is for gateways only, where claims of a token may be matched
 */
export function checkMatch(
  match: Loose<HttpMatchRequest>,
  atGatewayOnly: boolean,
  path: FieldPath,
  faults: FaultList,
): void {
  if (isEmptyMatch(match)) {
    faults.warning(
      path,
      'empty-match',
      'the match has no condition, so it matches every request; add one or remove it',
    );
  }
  for (const field of CONDITIONS) checkCondition(match[field], [...path, field], faults);
  for (const field of ['exact', 'prefix'] as const) {
    const value = match.uri?.[field];
    if (!value || value.startsWith('/')) continue;
    const message = `\`${value}\` matches no request, since a path begins with \`/\`; write \`/${value}\``;
    faults.error([...path, 'uri', field], 'path', message);
  }
  for (const field of ['headers', 'withoutHeaders', 'queryParams'] as const) {
    for (const [name, condition] of presentEntries(match[field])) {
      const at = [...path, field, name];
      if (condition.prefix === '') {
        faults.error([...at, 'prefix'], 'empty-match', 'the prefix is empty; write `{}` for "it is there"');
      }
      if (condition.regex === '') {
        faults.error([...at, 'regex'], 'empty-match', 'the expression is empty; write `{}` for "it is there"');
      }
      if (name === '' && field === 'queryParams') faults.error(at, 'name', 'the name is empty; write one', 'key');
      if (field !== 'queryParams') checkHeaderName(name, atGatewayOnly, at, faults);
    }
  }
  checkGatewayNames(match.gateways, [...path, 'gateways'], faults);
}

function checkHeaderName(name: string, atGatewayOnly: boolean, path: FieldPath, faults: FaultList): void {
  if (HAVE_FIELDS.has(name)) {
    const message = `a header \`${name}\` is meant here; for the ${name} use the field \`${name}\``;
    faults.warning(path, 'header-name', message, 'key');
  }
  if (isClaimName(name) && !atGatewayOnly) {
    const message = 'claims of a token are known at gateways only; bind the VirtualService to a gateway, without mesh';
    faults.error(path, 'header-name', message, 'key');
  }
}

function checkCondition(condition: StringMatch | undefined, path: FieldPath, faults: FaultList): void {
  if (!condition) return;
  const [kind] = Object.keys(condition);
  const field = path.at(-1);
  if (kind === undefined) {
    const message = `\`${field}\` says nothing to match, so anything does; write exact, prefix or regex, or remove it`;
    faults.warning(path, 'empty-match', message);
    return;
  }
  if (condition.exact !== '' && condition.prefix !== '' && condition.regex !== '') return;
  if (field === 'uri' && kind === 'prefix') {
    faults.warning(
      [...path, kind],
      'empty-match',
      'the prefix is empty, so every path has it; write /, or remove `uri`',
    );
    return;
  }
  const message = `\`${kind}\` is empty; write what to match, or remove \`${field}\``;
  faults.error([...path, kind], 'empty-match', message);
}

function isEmptyMatch(match: Loose<HttpMatchRequest>): boolean {
  return Object.entries(match).every(([field, value]) => NAMES_ONLY.has(field) || isEmptyCollection(value));
}

function isEmptyCollection(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
