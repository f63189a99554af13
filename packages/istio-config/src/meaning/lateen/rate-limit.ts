// Meaning of RateLimit.
import { parseDurationMs } from '../../duration.js';
import type { RateLimitSpec } from '../../kinds/lateen/rate-limit.js';
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
