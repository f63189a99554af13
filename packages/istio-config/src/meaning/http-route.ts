// Meaning of the HTTP rules of a VirtualService.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import type { HttpMatchRequest } from '../kinds/fields/http-match.js';
import type { HttpRoute } from '../kinds/fields/http-route.js';
import type { FieldPath } from '../problem.js';
import { checkHeaderChanges } from './headers.js';
import { checkAnswer, checkCors, checkFault, checkMirror, checkRetries, checkRewrite } from './http-route-parts.js';
import { checkGatewayNames, checkWeights, present, presentEntries } from './rule.js';

/** The things that a rule does with a request, of which it does exactly one. */
const ACTIONS = ['route', 'redirect', 'directResponse', 'delegate'] as const;

/** Fields that only make sense where the request is forwarded. */
const FORWARDING = ['rewrite', 'fault', 'mirror', 'mirrors', 'retries', 'timeout'] as const;

/** Checks all HTTP rules, and whether each can be reached. */
export function checkHttpRoutes(
  routes: readonly (Loose<HttpRoute> | undefined)[] | undefined,
  faults: FaultList,
): void {
  let catchAll: number | undefined;
  for (const [index, rule] of present(routes)) {
    const path = ['http', index];
    checkHttpRoute(rule, path, faults);
    if (catchAll !== undefined) {
      const message = `this rule is never reached, because rule ${catchAll} matches everything; move it up`;
      faults.warning(path, 'unreachable', message);
    } else if (matchesEverything(rule)) {
      catchAll = index;
    }
  }
}

function checkHttpRoute(rule: Loose<HttpRoute>, path: FieldPath, faults: FaultList): void {
  checkAction(rule, path, faults);
  checkWeights(rule.route, [...path, 'route'], faults);
  if (rule.match?.length === 0) {
    faults.warning(
      [...path, 'match'],
      'empty-match',
      '`match` has no items, so the rule matches every request; remove it',
    );
  }
  for (const [index, match] of present(rule.match)) checkMatch(match, [...path, 'match', index], faults);
  checkHeaderChanges(rule.headers, [...path, 'headers'], faults);
  for (const [index, route] of present(rule.route)) {
    checkHeaderChanges(route.headers, [...path, 'route', index, 'headers'], faults);
  }
  checkAnswer(rule, path, faults);
  checkRewrite(rule, path, faults);
  checkRetries(rule, path, faults);
  checkFault(rule.fault, [...path, 'fault'], faults);
  checkMirror(rule, path, faults);
  checkCors(rule.corsPolicy, [...path, 'corsPolicy'], faults);
}

function checkAction(rule: Loose<HttpRoute>, path: FieldPath, faults: FaultList): void {
  const [first, ...others] = ACTIONS.filter((action) => action in rule);
  if (first === undefined) {
    const message = 'the rule does nothing with a request; add `route`, `redirect` or `directResponse`';
    faults.error(path, 'required', message);
    return;
  }
  for (const other of others) {
    faults.error([...path, other], 'one-of', `a rule has either \`${first}\` or \`${other}\`; keep one`, 'key');
  }
  if (rule.route?.length === 0) {
    faults.error([...path, 'route'], 'required', '`route` has no destinations; add one');
  }
  if (first !== 'redirect' && first !== 'directResponse') return;
  for (const field of FORWARDING) {
    if (!(field in rule)) continue;
    const message = `\`${field}\` has no place beside \`${first}\`, since nothing is forwarded; remove one of them`;
    faults.error([...path, field], 'one-of', message, 'key');
  }
}

const CONDITIONS = ['uri', 'scheme', 'method', 'authority'] as const;

/** Fields of a match that say nothing about requests. */
const NAMES_ONLY: ReadonlySet<string> = new Set(['name', 'statPrefix', 'ignoreUriCase']);

/** Header names that Istio ignores in a match, because they have fields of their own. */
const HAVE_FIELDS: ReadonlySet<string> = new Set(['uri', 'scheme', 'method', 'authority']);

function checkMatch(match: Loose<HttpMatchRequest>, path: FieldPath, faults: FaultList): void {
  if (isEmptyMatch(match)) {
    faults.warning(
      path,
      'empty-match',
      'the match has no condition, so it matches every request; add one or remove it',
    );
  }
  for (const field of CONDITIONS) {
    checkCondition(match[field], [...path, field], faults);
  }
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
      if (name === '') faults.error(at, 'name', 'the name is empty; write one', 'key');
      if (field !== 'queryParams' && HAVE_FIELDS.has(name)) {
        faults.warning(
          at,
          'header-name',
          `a header \`${name}\` is meant here; for the ${name} use the field \`${name}\``,
          'key',
        );
      }
    }
  }
  checkGatewayNames(match.gateways, [...path, 'gateways'], faults);
}

function checkCondition(
  condition: { readonly exact?: string; readonly prefix?: string; readonly regex?: string } | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  if (!condition) return;
  const [kind] = Object.keys(condition);
  if (kind === undefined) {
    faults.error(path, 'empty-match', `\`${path.at(-1)}\` says nothing to match; write exact, prefix or regex`);
    return;
  }
  if (condition.exact !== '' && condition.prefix !== '' && condition.regex !== '') return;
  faults.error(
    [...path, kind],
    'empty-match',
    `\`${kind}\` is empty; write what to match, or remove \`${path.at(-1)}\``,
  );
}

function isEmptyMatch(match: Loose<HttpMatchRequest>): boolean {
  return Object.keys(match).every((field) => NAMES_ONLY.has(field) || isEmptyCollection(match, field));
}

function isEmptyCollection(match: object, field: string): boolean {
  const value = Object.entries(match).find(([key]) => key === field)?.[1];
  return typeof value === 'object' && value !== null && !('exact' in value) && Object.keys(value).length === 0;
}

function matchesEverything(rule: Loose<HttpRoute>): boolean {
  if (!('match' in rule)) return true;
  if (rule.match === undefined) return false;
  if (rule.match.length === 0) return true;
  return rule.match.some((match) => {
    if (!match) return false;
    const { uri, ...rest } = match;
    if (!isEmptyMatch(rest)) return false;
    return !('uri' in match) || uri?.prefix === '/' || uri?.regex === '.*';
  });
}
