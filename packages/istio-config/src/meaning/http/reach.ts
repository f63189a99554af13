// Meaning of the order of HTTP rules: which rule or match is never reached, because one before it takes all of its requests.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { HttpMatchRequest } from '../../kinds/fields/http-match.js';
import type { HttpRoute } from '../../kinds/fields/http-route.js';
import type { StringMatch } from '../../kinds/fields/string-match.js';
import { isWhole, present } from '../rule.js';

type Match = Loose<HttpMatchRequest>;

/** A match of an earlier rule. */
interface Earlier {
  readonly rule: number;
  readonly match: Match;
}

/** Warns of what can never be reached. Only what is certain is reported, so silence proves nothing. */
export function checkReach(routes: readonly (Loose<HttpRoute> | undefined)[] | undefined, faults: FaultList): void {
  const earlier: Earlier[] = [];
  for (const [index, rule] of present(routes)) {
    // A field that was wrong, or is not known, may be its match.
    if (!rule.match && Object.values(rule).some((value: unknown) => value === undefined)) continue;
    const matches = rule.match?.length ? rule.match : [{}];
    const taken = matches.map((match) => (match && isWhole(match) ? takenBy(match, earlier) : undefined));
    const [first] = taken;
    if (first !== undefined && taken.every((each) => each !== undefined)) {
      const what = matchesEverything(first.match) ? 'matches everything' : 'matches all of its requests';
      const message = `this rule is never reached, because rule ${first.rule} ${what}; move it up`;
      faults.warning(['http', index], 'unreachable', message);
    } else {
      for (const [at, by] of taken.entries()) {
        const who = by ? `rule ${by.rule}` : besideIn(matches, at);
        if (who === undefined) continue;
        const message = `this match is never used, because ${who} takes all of its requests; move it up or remove it`;
        faults.warning(['http', index, 'match', at], 'unreachable', message);
      }
    }
    for (const [, match] of present(matches)) if (isWhole(match)) earlier.push({ rule: index, match });
  }
}

function takenBy(match: Match, earlier: readonly Earlier[]): Earlier | undefined {
  return earlier.find((each) => takesAll(each.match, match));
}

/** The match of the same rule that takes all requests of the one at an index. */
function besideIn(matches: readonly (Match | undefined)[], at: number): string | undefined {
  const match = matches[at];
  if (!match || !isWhole(match)) return undefined;
  const other = matches.slice(0, at).findIndex((each) => each && isWhole(each) && takesAll(each, match));
  return other < 0 ? undefined : `match ${other} of the rule`;
}

/** Whether a match has no condition at all. */
export function matchesEverything(match: Match): boolean {
  return isWhole(match) && takesAll(match, {});
}

/** Whether every request that `inner` matches is one that `outer` matches. */
function takesAll(outer: Match, inner: Match): boolean {
  return (
    takesPath(outer, inner) &&
    (['method', 'scheme', 'authority'] as const).every((field) => takesText(outer[field], inner[field])) &&
    takesEach(outer.headers, inner.headers, true) &&
    takesEach(outer.queryParams, inner.queryParams, false) &&
    // What must not be there: the later match must leave out at least as much.
    Object.entries(outer.withoutHeaders ?? {}).every(([name, left]) => {
      const also = named(inner.withoutHeaders, name, true);
      return (
        also !== undefined && left !== undefined && (isPresence(also) || (!isPresence(left) && takesText(also, left)))
      );
    }) &&
    (outer.port === undefined || outer.port === inner.port) &&
    takesSource(outer, inner)
  );
}

function takesPath(outer: Match, inner: Match): boolean {
  const uri = outer.uri;
  if (uri === undefined || Object.keys(uri).length === 0) return true;
  if (uri.prefix === '' || uri.prefix === '/' || uri.regex === '.*' || uri.regex === '/.*') return true;
  if (inner.ignoreUriCase === true && outer.ignoreUriCase !== true) return false;
  if (outer.ignoreUriCase !== true) return takesText(uri, inner.uri);
  return takesText(inLowerCase(uri), inner.uri && inLowerCase(inner.uri));
}

/** An expression does not heed `ignoreUriCase`. */
function inLowerCase({ exact, prefix, regex }: StringMatch): StringMatch {
  if (exact !== undefined) return { exact: exact.toLowerCase() };
  return prefix === undefined ? { regex } : { prefix: prefix.toLowerCase() };
}

/** An empty match on a header means that it is there; so does `*` in `withoutHeaders`. */
function isPresence({ exact, prefix, regex }: StringMatch): boolean {
  return regex === '*' || (exact === undefined && prefix === undefined && regex === undefined);
}

function takesText(outer: StringMatch | undefined, inner: StringMatch | undefined): boolean {
  if (outer === undefined || isPresence(outer)) return true;
  if (inner === undefined) return false;
  if (outer.exact !== undefined) return inner.exact === outer.exact;
  if (outer.prefix !== undefined) return (inner.exact ?? inner.prefix)?.startsWith(outer.prefix) === true;
  return inner.regex === outer.regex;
}

type Named = Readonly<Record<string, StringMatch | undefined>> | undefined;

function named(matches: Named, name: string, ignoreCase: boolean): StringMatch | undefined {
  const wanted = ignoreCase ? name.toLowerCase() : name;
  return Object.entries(matches ?? {}).find(([each]) => (ignoreCase ? each.toLowerCase() : each) === wanted)?.[1];
}

function takesEach(outer: Named, inner: Named, ignoreCase: boolean): boolean {
  return Object.entries(outer ?? {}).every(([name, match]) => {
    const also = named(inner, name, ignoreCase);
    return also !== undefined && takesText(match, also);
  });
}

/** Who sends. Gateways take the place of the other conditions on the source (Istio). */
function takesSource(outer: Match, inner: Match): boolean {
  const gateways = outer.gateways ?? [];
  if (gateways.length > 0) {
    const own = inner.gateways ?? [];
    return own.length > 0 && own.every((gateway) => gateways.includes(gateway));
  }
  const labels = Object.entries(outer.sourceLabels ?? {});
  if (labels.length === 0 && outer.sourceNamespace === undefined) return true;
  if ((inner.gateways?.length ?? 0) > 0) return false;
  const sameNamespace = outer.sourceNamespace === undefined || outer.sourceNamespace === inner.sourceNamespace;
  return sameNamespace && labels.every(([key, value]) => inner.sourceLabels?.[key] === value);
}
