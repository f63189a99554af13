// Meaning of the HTTP rules of a VirtualService.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { HttpRoute } from '../../kinds/fields/http-route.js';
import type { FieldPath } from '../../problem.js';
import { checkDestination } from '../fields/destination.js';
import { checkWeights, present } from '../rule.js';
import { checkAnswer } from './answers.js';
import { checkHeaderChanges } from './headers.js';
import { checkCors, checkFault, checkMirror } from './http-route-parts.js';
import { checkMatch } from './match.js';
import { checkReach } from './reach.js';
import { checkRetries } from './retries.js';
import { checkRewrite } from './rewrite.js';

/** The things that a rule does with a request, of which it does exactly one. */
const ACTIONS = ['route', 'redirect', 'directResponse', 'delegate'] as const;

/** What changes a request on its way, which a rule that answers itself must not have. */
const ON_THE_WAY = ['rewrite', 'fault'] as const;

/** What has no effect where nothing is forwarded. */
const FORWARDING = ['mirror', 'mirrors', 'retries', 'timeout'] as const;

/** What is known of the VirtualService around a rule. */
export interface RuleContext {
  /** Whether it is for gateways only. */
  readonly atGatewayOnly: boolean;
  /** Whether it has no hosts, so that others hand requests to it. */
  readonly isDelegate: boolean;
}

/** Checks all HTTP rules, and whether each can be reached. */
export function checkHttpRoutes(
  routes: readonly (Loose<HttpRoute> | undefined)[] | undefined,
  context: RuleContext,
  faults: FaultList,
): void {
  for (const [index, rule] of present(routes)) checkHttpRoute(rule, context, ['http', index], faults);
  checkReach(routes, faults);
}

function checkHttpRoute(rule: Loose<HttpRoute>, context: RuleContext, path: FieldPath, faults: FaultList): void {
  checkAction(rule, path, faults);
  if (context.isDelegate && 'delegate' in rule) {
    const message = 'a VirtualService without hosts is a delegate itself and cannot delegate further; write `route`';
    faults.error([...path, 'delegate'], 'one-of', message, 'key');
  }
  checkWeights(rule.route, [...path, 'route'], faults);
  if (rule.match?.length === 0) {
    faults.warning(
      [...path, 'match'],
      'empty-match',
      '`match` has no items, so the rule matches every request; remove it',
    );
  }
  for (const [index, match] of present(rule.match)) {
    checkMatch(match, context.atGatewayOnly, [...path, 'match', index], faults);
  }
  checkHeaderChanges(rule.headers, [...path, 'headers'], faults);
  for (const [index, { headers, destination }] of present(rule.route)) {
    checkHeaderChanges(headers, [...path, 'route', index, 'headers'], faults);
    checkDestination(destination, [...path, 'route', index, 'destination'], faults);
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
  for (const field of ON_THE_WAY) {
    if (!(field in rule)) continue;
    const message = `\`${field}\` has no place beside \`${first}\`, since nothing is forwarded; remove one of them`;
    faults.error([...path, field], 'one-of', message, 'key');
  }
  for (const field of FORWARDING) {
    if (!(field in rule)) continue;
    const message = `\`${field}\` has no effect beside \`${first}\`, since nothing is forwarded; remove it`;
    faults.warning([...path, field], 'no-effect', message, 'key');
  }
}
