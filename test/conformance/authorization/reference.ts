// Authorization, reference: what the documents of AuthorizationPolicy say, as plainly as it can be written: no protocol buffers,
// no tables, no regular expressions. https://istio.io/latest/docs/reference/config/security/authorization-policy/ and …/conditions/

import type {
  AuthorizationOperation,
  AuthorizationRule,
  AuthorizationSource,
  ConfigObject,
} from '@lateen/istio-config';

/** What is known of a request. */
export interface RequestFacts {
  readonly method: string;
  /** As the client sent it, with its port where there is one. */
  readonly host: string;
  /** With its query. */
  readonly path: string;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** Of a good token; undefined: there is none. */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
}

/** What is known of a connection, and of the request on it: none where bytes are passed on as they are. */
export interface CallFacts {
  /** `TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT` of the client certificate; undefined: there is none. */
  readonly principal: string | undefined;
  readonly sourceIp: string;
  readonly remoteIp: string;
  readonly destinationIp: string;
  readonly destinationPort: number;
  /** Empty: none was asked for. */
  readonly serverName: string;
  readonly request: RequestFacts | undefined;
}

/** The mesh that policies are in. */
export interface MeshFacts {
  readonly rootNamespace: string;
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
}

export interface Verdict {
  readonly allowed: boolean;
  /** The rule that denied or allowed; undefined: none is for the request. Of several the first by name. */
  readonly rule: string | undefined;
}

type Policy = ConfigObject<'AuthorizationPolicy'>;

/** Decides a call to a workload. */
export function decide(
  policies: readonly Policy[],
  workload: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> },
  call: CallFacts,
  mesh: MeshFacts,
): Verdict {
  const holding = policies.filter(
    ({ metadata, spec }) =>
      [mesh.rootNamespace, workload.namespace].includes(metadata.namespace) &&
      Object.entries(spec.selector?.matchLabels ?? {}).every(([name, value]) => workload.labels[name] === value) &&
      metadata.annotations['istio.io/dry-run'] !== 'true',
  );
  const withAction = (action: string) => holding.filter(({ spec }) => (spec.action ?? 'ALLOW') === action);
  const denying = matchingRules(withAction('DENY'), call, mesh)[0];
  if (denying !== undefined) return { allowed: false, rule: denying };
  const allowing = withAction('ALLOW');
  if (allowing.length === 0) return { allowed: true, rule: undefined };
  const rule = matchingRules(allowing, call, mesh)[0];
  return { allowed: rule !== undefined, rule };
}

function matchingRules(policies: readonly Policy[], call: CallFacts, mesh: MeshFacts): string[] {
  return policies
    .flatMap(({ metadata: { namespace, name }, spec }) =>
      (spec.rules ?? []).flatMap((rule, index) =>
        ruleMatches(rule, { call, mesh, namespace, allows: (spec.action ?? 'ALLOW') === 'ALLOW' })
          ? [`ns[${namespace}]-policy[${name}]-rule[${index}]`]
          : [],
      ),
    )
    .sort();
}

interface Situation {
  readonly call: CallFacts;
  readonly mesh: MeshFacts;
  /** Of the policy. */
  readonly namespace: string;
  readonly allows: boolean;
}

/** A field that has something to say. */
interface Condition {
  readonly values: readonly string[];
  readonly notValues: readonly string[];
  readonly httpOnly: boolean;
  readonly holds: (value: string) => boolean;
}

function ruleMatches(rule: AuthorizationRule, situation: Situation): boolean {
  const always = (rule.when ?? []).map(({ key, values = [], notValues = [] }) => ({
    values,
    notValues,
    ...attribute(key, situation),
  }));
  const sources = (rule.from ?? []).map(({ source = {} }) => sourceConditions(source, situation));
  const operations = (rule.to ?? []).map(({ operation = {} }) => operationConditions(operation, situation));
  // "HTTP-only fields in a rule for TCP: an ALLOW rule is ignored, of a DENY rule only the other fields count."
  const isTcp = situation.call.request === undefined;
  const isSet = ({ values, notValues }: Condition) => values.length + notValues.length > 0;
  const all = [always, ...sources, ...operations].flat().filter(isSet);
  if (isTcp && situation.allows && all.some(({ httpOnly }) => httpOnly)) return false;
  const hold = (conditions: readonly Condition[]) =>
    conditions.every(
      ({ values, notValues, httpOnly, holds }) =>
        (isTcp && httpOnly) || ((values.length === 0 || values.some(holds)) && !notValues.some(holds)),
    );
  return (
    hold(always) && (sources.length === 0 || sources.some(hold)) && (operations.length === 0 || operations.some(hold))
  );
}

function sourceConditions(source: AuthorizationSource, situation: Situation): Condition[] {
  const on = (key: string, values: readonly string[] = [], notValues: readonly string[] = []) => ({
    values,
    notValues,
    ...attribute(key, situation),
  });
  return [
    on('source.principal', source.principals, source.notPrincipals),
    on('request.auth.principal', source.requestPrincipals, source.notRequestPrincipals),
    on('source.namespace', source.namespaces, source.notNamespaces),
    on('source.serviceAccount', source.serviceAccounts, source.notServiceAccounts),
    on('source.ip', source.ipBlocks, source.notIpBlocks),
    on('remote.ip', source.remoteIpBlocks, source.notRemoteIpBlocks),
  ];
}

function operationConditions(operation: AuthorizationOperation, situation: Situation): Condition[] {
  const { request } = situation.call;
  const on = (
    holds: (value: string) => boolean,
    values: readonly string[] = [],
    notValues: readonly string[] = [],
  ): Condition => ({ values, notValues, holds, httpOnly: true });
  return [
    on(
      (value) => matchesText(value.toLowerCase(), request?.host.toLowerCase() ?? ''),
      operation.hosts,
      operation.notHosts,
    ),
    on((value) => matchesText(value, request?.method ?? ''), operation.methods, operation.notMethods),
    on((value) => matchesPath(value, request?.path.split('?')[0] ?? ''), operation.paths, operation.notPaths),
    { values: operation.ports ?? [], notValues: operation.notPorts ?? [], ...attribute('destination.port', situation) },
  ];
}

/** What a value of an attribute means. */
function attribute(key: string, { call, mesh, namespace }: Situation): Pick<Condition, 'httpOnly' | 'holds'> {
  const { request } = call;
  const caller = call.principal?.split('/');
  const ofConnection = (holds: (value: string) => boolean) => ({ httpOnly: false, holds });
  const ofRequest = (holds: (value: string) => boolean) => ({ httpOnly: true, holds });
  switch (key) {
    case 'source.ip':
      return ofConnection((value) => isInSubnet(call.sourceIp, value));
    case 'remote.ip':
      return ofConnection((value) => isInSubnet(call.remoteIp, value));
    case 'destination.ip':
      return ofConnection((value) => isInSubnet(call.destinationIp, value));
    case 'destination.port':
      return ofConnection((value) => call.destinationPort === Number(value));
    case 'connection.sni':
      return ofConnection((value) => matchesText(value, call.serverName));
    case 'source.namespace':
      return ofConnection((value) => caller !== undefined && matchesText(value, caller[2] ?? ''));
    case 'source.serviceAccount':
      return ofConnection((value) => {
        const [account = '', ofNamespace = namespace] = value.split('/').reverse();
        return caller !== undefined && caller[2] === ofNamespace && caller[4] === account;
      });
    case 'source.principal':
      return ofConnection((value) => call.principal !== undefined && matchesPrincipal(value, call.principal, mesh));
    case 'request.auth.principal':
      return ofRequest((value) => matchesRequestPrincipal(value, request?.claims));
    case 'request.auth.audiences':
      return ofRequest((value) => matchesClaim(value, request?.claims?.aud));
    case 'request.auth.presenter':
      return ofRequest((value) => matchesClaim(value, request?.claims?.azp));
    default:
      return ofRequest((value) => namedAttribute(key, value, request));
  }
}

function namedAttribute(key: string, value: string, request: RequestFacts | undefined): boolean {
  const at = key.indexOf('[');
  const names = key.slice(at + 1, -1).split('][');
  if (key.startsWith('request.auth.claims')) {
    let claim: unknown = request?.claims;
    for (const name of names) claim = (claim as Record<string, unknown> | undefined)?.[name];
    return matchesClaim(value, claim);
  }
  const values = request?.headers[(names[0] ?? '').toLowerCase()] ?? [];
  return values.some((each) => value === '*' || matchesText(value, each));
}

/** Exact, `prefix*`, `*suffix`; `*` is anything that is there. */
function matchesText(pattern: string, text: string): boolean {
  if (pattern === '*') return text !== '';
  if (pattern.startsWith('*')) return text.endsWith(pattern.slice(1));
  if (pattern.endsWith('*')) return text.startsWith(pattern.slice(0, -1));
  return text === pattern;
}

/** A claim is one text, or a list of texts. */
function matchesClaim(pattern: string, claim: unknown): boolean {
  return [claim].flat().some((each) => typeof each === 'string' && matchesText(pattern, each));
}

/** `cluster.local` stands for the mesh's own trust domain, and each of its names for all of them. */
function matchesPrincipal(pattern: string, principal: string, mesh: MeshFacts): boolean {
  if (matchesText(pattern, principal)) return true;
  const [domain = '', ...rest] = pattern.split('/');
  const [ownDomain = '', ...ownRest] = principal.split('/');
  const names = [mesh.trustDomain, ...mesh.trustDomainAliases];
  if (rest.length !== 4 || domain === '*' || !names.includes(ownDomain)) return false;
  const isLocal =
    domain === 'cluster.local' ||
    names.some((name) => name === domain || (domain.startsWith('*') && name.endsWith(domain.slice(1))));
  return isLocal && matchesText(rest.join('/'), ownRest.join('/'));
}

/** ISSUER/SUBJECT, of which the last `/` is the one between; a wildcard at one end is for that part. */
function matchesRequestPrincipal(pattern: string, claims: RequestFacts['claims']): boolean {
  const { iss, sub } = claims ?? {};
  if (typeof iss !== 'string' || typeof sub !== 'string') return false;
  if (pattern === '*') return iss !== '' && sub !== '';
  const slash = pattern.lastIndexOf('/');
  if (slash >= 0) {
    const [issuer, subject] = [pattern.slice(0, slash), pattern.slice(slash + 1)];
    // One wildcard, at one end of the whole; another star is a character.
    if (pattern.startsWith('*')) return matchesText(issuer, iss) && sub === subject;
    return (
      iss === issuer && (pattern.endsWith('*') ? sub !== '' && sub.startsWith(subject.slice(0, -1)) : sub === subject)
    );
  }
  if (pattern.startsWith('*')) return iss !== '' && sub.endsWith(pattern.slice(1));
  if (pattern.endsWith('*')) return sub !== '' && iss.startsWith(pattern.slice(0, -1));
  return iss === pattern && sub === '';
}

const SEGMENT_CHARACTERS = new Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()+,;:@=");

function isSegment(text: string): boolean {
  return [...text].every((character) => SEGMENT_CHARACTERS.has(character));
}

/** `{*}` is one segment, `{**}` what is left; with neither a path is a text. */
function matchesPath(pattern: string, path: string): boolean {
  if (!pattern.includes('{*}') && !pattern.includes('{**}')) return matchesText(pattern, path);
  const wanted = pattern.split('/');
  const segments = path.split('/');
  const rest = wanted.indexOf('{**}');
  if (rest >= 0) {
    // What follows `{**}` is literal, and at the end.
    const after = wanted.slice(rest + 1);
    if (segments.length < rest + 1 + after.length && !(after.length === 0 && segments.length === rest + 1))
      return false;
    const end = segments.length - after.length;
    return (
      wanted.slice(0, rest).every((segment, index) => matchesSegment(segment, segments[index] ?? '')) &&
      segments.slice(rest, end).every(isSegment) &&
      after.every((segment, index) => segment === segments[end + index])
    );
  }
  return (
    wanted.length === segments.length &&
    wanted.every((segment, index) => matchesSegment(segment, segments[index] ?? ''))
  );
}

function matchesSegment(wanted: string, segment: string): boolean {
  return wanted === '{*}' ? segment !== '' && isSegment(segment) : wanted === segment;
}

/** Of IPv4 addresses, which is enough for the mesh's own. */
function isInSubnet(address: string, subnet: string): boolean {
  const [base = '', bits = '32'] = subnet.split('/');
  const number = (text: string) => text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(bits));
  return Math.floor(number(address) / size) === Math.floor(number(base) / size);
}
