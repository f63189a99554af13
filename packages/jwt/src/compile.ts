// Tokens: envoy.filters.http.jwt_authn as it is configured, compiled; what is not supported is named.

import type { RouteMatch } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type {
  JwtAuthentication,
  JwtProvider,
  JwtRequirement,
} from '@lateen/xds-proto/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js';
import { type JwtCounts, JwtFilter, type JwtRule } from './jwt-filter.js';
import { readKeySet } from './key-set.js';
import type { Provider, Requirement } from './requirement.js';
import { TokenLocations } from './token-locations.js';

export interface JwtCompileContext {
  readonly counts: JwtCounts;
  /** `path` is relative to the filter's configuration. */
  problem(path: string, message: string): void;
}

/** Problems go to the context; the result is only to be used where there were none. */
export function compileJwtFilter(config: JwtAuthentication, context: JwtCompileContext): JwtFilter {
  const { providers: configured, rules, bypassCorsPreflight, stripFailureResponse } = config;
  const names = Object.keys(configured).sort();
  const providers = names.map((name) => compileProvider(name, configured[name] as JwtProvider, context));
  const byName = new Map(providers.map((provider) => [provider.name, provider]));
  const read = (requirement: JwtRequirement | undefined, path: string) =>
    readRequirement(requirement, path, byName, context);
  const compiled = rules.map(({ match, requirementType }, index): JwtRule => {
    const path = `rules[${index}]`;
    const { case: kind, value } = requirementType;
    let requirement: Requirement = { kind: 'nothing' };
    if (kind === 'requires') requirement = read(value, `${path}.requires`);
    else if (kind === 'requirementName') {
      const named = Object.hasOwn(config.requirementMap, value) ? config.requirementMap[value] : undefined;
      if (named === undefined) context.problem(`${path}.requirement_name`, `"${value}" is not in requirement_map`);
      else requirement = read(named, `requirement_map["${value}"]`);
    }
    return { ...readMatch(match, `${path}.match`, context), requirement };
  });
  return new JwtFilter(providers, compiled, { bypassCorsPreflight, stripFailureResponse }, context.counts);
}

function compileProvider(name: string, config: JwtProvider, context: JwtCompileContext): Provider {
  const path = `providers["${name}"]`;
  const source = config.jwksSourceSpecifier;
  let text = '';
  if (source.case !== 'localJwks') {
    context.problem(`${path}.local_jwks`, 'is required: keys come with the configuration and are not fetched');
  } else if (source.value.specifier.case === 'inlineString') text = source.value.specifier.value;
  else if (source.value.specifier.case === 'inlineBytes') {
    text = Buffer.from(source.value.specifier.value).toString('utf8');
  } else context.problem(`${path}.local_jwks`, 'must be inline_string or inline_bytes');
  const keys = readKeySet(text);
  if (keys.keys.length === 0) context.problem(`${path}.local_jwks`, 'has no key that can be used');
  return { name, config, keys, locations: new TokenLocations([config]), payloads: new WeakMap() };
}

function readRequirement(
  requirement: JwtRequirement | undefined,
  path: string,
  providers: ReadonlyMap<string, Provider>,
  context: JwtCompileContext,
): Requirement {
  const type = requirement?.requiresType;
  const ofProvider = (name: string, audiences: readonly string[], at: string): Requirement => {
    const provider = providers.get(name);
    if (provider !== undefined)
      return { kind: 'provider', provider, audiences: audiences.length === 0 ? undefined : audiences };
    context.problem(at, `"${name}" is no provider`);
    return { kind: 'nothing' };
  };
  const group = (kind: 'all' | 'any', parts: readonly JwtRequirement[], at: string): Requirement => ({
    kind,
    of: parts.map((part, index) => readRequirement(part, `${at}.requirements[${index}]`, providers, context)),
  });
  switch (type?.case) {
    case 'providerName':
      return ofProvider(type.value, [], `${path}.provider_name`);
    case 'providerAndAudiences':
      return ofProvider(type.value.providerName, type.value.audiences, `${path}.provider_and_audiences.provider_name`);
    case 'requiresAll':
      return group('all', type.value.requirements, `${path}.requires_all`);
    case 'requiresAny':
      return group('any', type.value.requirements, `${path}.requires_any`);
    case 'allowMissing':
    case 'allowMissingOrFailed':
      return { kind: type.case };
    default:
      return { kind: 'nothing' };
  }
}

function readMatch(
  match: RouteMatch | undefined,
  path: string,
  { problem }: JwtCompileContext,
): Pick<JwtRule, 'path' | 'caseSensitive'> {
  const specifier = match?.pathSpecifier;
  const caseSensitive = match?.caseSensitive ?? true;
  if (
    match !== undefined &&
    (match.headers.length > 0 || match.queryParameters.length > 0 || match.runtimeFraction !== undefined)
  ) {
    problem(path, 'only paths are supported in rules for tokens: prefix, path and path_separated_prefix');
  }
  switch (specifier?.case) {
    case 'prefix':
      return { path: { kind: 'prefix', value: specifier.value }, caseSensitive };
    case 'path':
      return { path: { kind: 'exact', value: specifier.value }, caseSensitive };
    case 'pathSeparatedPrefix':
      return { path: { kind: 'separatedPrefix', value: specifier.value }, caseSensitive };
    default:
      problem(path, 'needs prefix, path or path_separated_prefix');
      return { path: { kind: 'prefix', value: '/' }, caseSensitive };
  }
}
