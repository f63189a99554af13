// Path templates of access rules (envoy.extensions.path.match.uri_template.v3) as regular expressions, in Envoy's grammar.
import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { TypedExtensionConfig } from '@lateen/xds-proto/envoy/config/core/v3/extension_pb.js';
import { UriTemplateMatchConfigSchema } from '@lateen/xds-proto/envoy/extensions/path/match/uri_template/v3/uri_template_match_pb.js';
import * as T from '../../table-layout.js';
import type { Matcher } from '../match/matchers.js';
import type { ProblemList } from '../problems.js';
import { join } from '../supported-fields.js';

const LITERAL = /^[a-zA-Z0-9\-._~%!$&'()+,;:@=]+$/;
/**
 * What may stand for an operator. Envoy's own class is narrower, but its normalization writes the other characters as
 * percent-encoded ones before, where here they are forwarded as they came; brackets are in neither. Bytes beyond ASCII count as `"`.
 */
const FREE = '!-.0-Z\\\\^-~';
const VARIABLE = /^[a-zA-Z][a-zA-Z0-9_]{0,15}$/;
const MAX_VARIABLES = 5;

/** The template must match the whole path, without its query. */
export function readPathTemplate(problems: ProblemList, path: string, { typedConfig }: TypedExtensionConfig): Matcher {
  const at = join(path, 'typed_config.path_template');
  const matcher = { name: '', kind: T.MATCHER_REGEX, value: '', flags: 0, rangeStart: 0, rangeEnd: 0 };
  if (typedConfig === undefined || !anyIs(typedConfig, UriTemplateMatchConfigSchema)) {
    problems.add(join(path, 'typed_config'), `${typedConfig?.typeUrl ?? 'nothing'} is not supported`);
    return matcher;
  }
  const template = unpackAny(typedConfig, UriTemplateMatchConfigSchema).pathTemplate;
  let regex = '/';
  try {
    regex = new TemplateParser(template).parse();
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    problems.add(at, `"${template}" ${error.message}`);
  }
  const regexMatcher = {
    $typeName: 'envoy.type.matcher.v3.RegexMatcher',
    regex,
    engineType: { case: undefined },
  } as const;
  return { ...matcher, regex: { path: at, matcher: regexMatcher, likeAll: '"' } };
}

class TemplateError extends Error {}

class TemplateParser {
  private readonly variables = new Set<string>();
  private hasTextGlob = false;

  constructor(private readonly template: string) {}

  /** @throws TemplateError */
  parse(): string {
    const { template } = this;
    if (!/^\/[\x21-\x7e]*$/.test(template)) throw new TemplateError('must begin with / and have no spaces');
    let rest = template.slice(1);
    let regex = '/';
    while (rest !== '') {
      const [part, after] = this.part(rest);
      regex += part;
      rest = after;
      if (rest === '') break;
      if (!rest.startsWith('/')) return `${regex}${literal(rest)}`;
      regex += '/';
      rest = rest.slice(1);
    }
    return regex;
  }

  /** The expression of what comes first, and what follows it. */
  private part(rest: string): [string, string] {
    if (rest.startsWith('*')) return this.operator(rest);
    if (!rest.startsWith('{')) {
      const end = endOf(rest, '/');
      return [literal(rest.slice(0, end)), rest.slice(end)];
    }
    const end = rest.indexOf('}');
    if (end < 0) throw new TemplateError('has { without }');
    const [name = '', ...patterns] = rest.slice(1, end).split('=');
    if (!VARIABLE.test(name)) throw new TemplateError(`names a variable "${name}"`);
    if (this.variables.has(name)) throw new TemplateError(`names ${name} twice`);
    this.variables.add(name);
    if (this.variables.size > MAX_VARIABLES) throw new TemplateError(`has more than ${MAX_VARIABLES} variables`);
    return [this.variable(patterns.length === 0 ? '*' : patterns.join('=')), rest.slice(end + 1)];
  }

  private variable(pattern: string): string {
    return pattern
      .split('/')
      .map((part) => {
        if (!part.startsWith('*')) return literal(part);
        const [regex, after] = this.operator(part);
        if (after !== '') throw new TemplateError(`has "${part}" in a variable`);
        return regex;
      })
      .join('/');
  }

  private operator(rest: string): [string, string] {
    if (this.hasTextGlob) throw new TemplateError('has * behind **');
    if (!rest.startsWith('**')) return [`[${FREE}]+`, rest.slice(1)];
    this.hasTextGlob = true;
    return [`[${FREE}/]*`, rest.slice(2)];
  }
}

function literal(text: string): string {
  if (!LITERAL.test(text)) throw new TemplateError(`has "${text}", which is no literal`);
  return text.replaceAll(/[$().+]/g, '\\$&');
}

function endOf(text: string, mark: string): number {
  const at = text.indexOf(mark);
  return at < 0 ? text.length : at;
}
