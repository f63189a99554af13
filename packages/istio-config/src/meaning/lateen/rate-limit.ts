// Meaning of RateLimit.

import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import { parseDurationMs } from '../../duration.js';
import type { RateLimitRule, RateLimitSpec } from '../../kinds/lateen/rate-limit.js';
import type { FieldPath } from '../../problem.js';
import { checkSelector, checkUnique, type MeaningRule, present } from '../rule.js';

/** A bucket counts tokens times microseconds in 64 bits. */
const MAX_BURST_TIMES_PERIOD = 2 ** 62;

export const checkRateLimit: MeaningRule<RateLimitSpec> = (spec, faults) => {
  checkSelector(spec.selector, ['selector'], faults);
  checkUnique(
    spec.rules,
    ({ name }) => name,
    faults,
    (index, name) => ({ path: ['rules', index, 'name'], message: `two rules have the name \`${name}\`; rename one` }),
  );
  for (const [index, rule] of present(spec.rules)) {
    if (rule.scope === 'EXTERNAL') checkExternal(rule, ['rules', index], faults);
    else checkCounted(rule, ['rules', index], faults);
    const { requests = 0, per = '0s', burst = requests } = rule.limit ?? {};
    const periodUs = (parseDurationMs(per) ?? 0) * 1_000;
    // A mesh-wide limit has buckets that fill ten times as long.
    if (Math.max(burst, requests) * periodUs * 10 > MAX_BURST_TIMES_PERIOD) {
      const message =
        'so many requests in so long a time cannot be counted; write a shorter period with fewer requests';
      faults.error(['rules', index, 'limit'], 'range', message);
    }
    for (const [at, match] of present(rule.match)) {
      const template = match.path?.template;
      const path = ['rules', index, 'match', at, 'path', 'template'];
      if (template !== undefined && !isTemplate(template)) {
        const advice = 'write segments and `{name}` between slashes, such as /products/{id}';
        faults.error(path, 'template', `\`${template}\` is not a path template; ${advice}`);
      }
    }
    checkUnique(
      rule.by,
      (descriptor) => JSON.stringify(descriptor),
      faults,
      (at) => ({ path: ['rules', index, 'by', at], message: 'it counts the same twice; remove one' }),
    );
  }
};

/** The proxy or the mesh counts. */
function checkCounted(rule: Loose<RateLimitRule>, path: FieldPath, faults: FaultList): void {
  if (rule.limit === undefined && !('limit' in rule)) {
    faults.error([...path, 'limit'], 'required', '`limit` is required in the rule; add it');
  }
  if (rule.external !== undefined) {
    const message = '`external` is for a service that is asked; write `scope: EXTERNAL`, or remove it';
    faults.error([...path, 'external'], 'not-used', message);
  }
  for (const [at, { key }] of present(rule.by)) {
    if (key === undefined) continue;
    faults.error([...path, 'by', at, 'key'], 'not-used', '`key` is for `scope: EXTERNAL`; remove it');
  }
}

/** A service counts. */
function checkExternal(rule: Loose<RateLimitRule>, path: FieldPath, faults: FaultList): void {
  if (!('external' in rule)) {
    faults.error(
      [...path, 'external'],
      'required',
      '`external` is required where `scope` is EXTERNAL; add the service',
    );
  }
  const refuse = (field: FieldPath, message: string) => faults.error([...path, ...field], 'not-used', message);
  if (rule.limit !== undefined) refuse(['limit'], 'with `scope: EXTERNAL` the service knows the limit; remove it');
  if (rule.mode === 'SHADOW') refuse(['mode'], 'with `scope: EXTERNAL` it is the service that only counts; remove it');
  if (rule.response?.body !== undefined) {
    refuse(['response', 'body'], 'with `scope: EXTERNAL` the service says the text; remove it');
  }
  if (rule.response?.headers === 'REFUSED') {
    refuse(['response', 'headers'], 'with `scope: EXTERNAL` headers are told always or never; write ALWAYS or NONE');
  }
  if ((rule.match?.length ?? 0) > 1) {
    refuse(['match', 1], 'with `scope: EXTERNAL` a rule has one match; write a rule for each');
  }
  for (const [at, { sourceIdentity, jwtClaim, clientAddress, key }] of present(rule.by)) {
    if (jwtClaim !== undefined) {
      refuse(['by', at, 'jwtClaim'], 'a service cannot be told a claim; count by a header that has it');
    }
    if (clientAddress !== undefined && key !== undefined) {
      refuse(['by', at, 'key'], 'an address is always told as `remote_address`; remove it');
    }
    if (sourceIdentity === undefined) continue;
    refuse(['by', at, 'sourceIdentity'], 'a service cannot be told the identity; count by a header or clientAddress');
  }
  const { entries } = rule.external ?? {};
  if (entries !== undefined && Object.keys(entries).length === 0) {
    refuse(['external', 'entries'], 'there is nothing to tell the service; add an entry, or remove it for the default');
  }
}

/** `/a/{b}/c`, also with `{rest...}` as the last segment. */
function isTemplate(template: string): boolean {
  if (!template.startsWith('/')) return false;
  const segments = template.slice(1).split('/');
  return segments.every((segment, index) => {
    if (/^\{[A-Za-z_]\w*\}$/.test(segment)) return true;
    if (/^\{[A-Za-z_]\w*\.\.\.\}$/.test(segment)) return index === segments.length - 1;
    return /^[^{}?#\s]*$/.test(segment);
  });
}
