// Build: a path of an AuthorizationPolicy, which may be a template, as a matcher of the path without its query.

import { create } from '@bufbuild/protobuf';
import { type PathMatcher, PathMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/path_pb.js';
import { quoted } from '../listeners/quota-matchers.js';
import { textByRegex, textMatcher } from './value-matchers.js';

/** What a segment of a path is made of, by Envoy's templates (RFC 3986, appendix A). */
const SEGMENT_CHARACTER = "a-zA-Z0-9\\-._~%!$&'()+,;:@=";
const TEMPLATES: Readonly<Record<string, string>> = {
  '{*}': `[${SEGMENT_CHARACTER}]+`,
  '{**}': `[${SEGMENT_CHARACTER}/]*`,
};

/** `{*}` stands for one segment, `{**}` for any number of them, or none. */
export function pathMatcher(path: string): PathMatcher {
  const parts = path.split(/(\{\*{1,2}\})/);
  const matcher =
    parts.length === 1 ? textMatcher(path) : textByRegex(parts.map((part) => TEMPLATES[part] ?? quoted(part)).join(''));
  return create(PathMatcherSchema, { rule: { case: 'path', value: matcher } });
}
