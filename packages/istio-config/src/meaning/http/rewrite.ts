// Meaning of rewrites: something to rewrite, and only one place that sets the authority.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import { regexFault, rewriteFault } from '../../declare/regex.js';
import type { HttpRoute } from '../../kinds/fields/http-route.js';
import type { FieldPath } from '../../problem.js';
import { checkAuthority } from './answers.js';
import { isAuthorityHeader } from './headers.js';

/** Checks `rewrite`, and what the same rule does to headers. */
export function checkRewrite(rule: Loose<HttpRoute>, path: FieldPath, faults: FaultList): void {
  const { rewrite, headers } = rule;
  if (!rewrite) return;
  const at = [...path, 'rewrite'];
  if (Object.values(rewrite).every((value) => value === '')) {
    faults.error(at, 'required', 'the rewrite changes nothing; add `uri` or `authority`, or remove it');
  }
  // An empty field is one that is not set.
  if (rewrite.authority) checkAuthority(rewrite.authority, [...at, 'authority'], faults);
  checkPath(rule, at, faults);
  if (!rewrite.authority) return;
  for (const field of ['set', 'add'] as const) {
    for (const name of Object.keys(headers?.request?.[field] ?? {})) {
      if (!isAuthorityHeader(name)) continue;
      const message = `\`${name}\` and rewrite.authority both set the host; keep one`;
      faults.error([...path, 'headers', 'request', field, name], 'one-of', message, 'key');
    }
  }
}

function checkPath({ rewrite, match }: Loose<HttpRoute>, path: FieldPath, faults: FaultList): void {
  const { uri, uriRegexRewrite } = rewrite ?? {};
  if (uri && !uri.startsWith('/')) {
    faults.error([...path, 'uri'], 'path', `\`${uri}\` is not a path; begin it with \`/\``);
  }
  if (uri && match?.some((one) => one?.uri && 'regex' in one.uri)) {
    const message = '`uri` cannot take the place of a regular expression; use `uriRegexRewrite`';
    faults.error([...path, 'uri'], 'one-of', message);
  }
  for (const field of uriRegexRewrite ? (['match', 'rewrite'] as const) : []) {
    if (uriRegexRewrite?.[field] || (uriRegexRewrite && field in uriRegexRewrite && uriRegexRewrite[field] !== ''))
      continue;
    const message = `\`${field}\` is required in RegexRewrite; add it`;
    faults.error([...path, 'uriRegexRewrite'], 'required', message);
  }
  const source = uriRegexRewrite?.match;
  // What is wrong with the expression by itself is reported with its field.
  if (!source || regexFault(source) !== undefined) return;
  const wrong = rewriteFault(source, uriRegexRewrite.rewrite ?? '');
  if (wrong !== undefined) {
    faults.error([...path, 'uriRegexRewrite', 'rewrite'], 'regex', `the rewrite by a regular expression ${wrong}`);
  }
}
