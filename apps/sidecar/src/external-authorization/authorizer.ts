// External authorization: an ext_authz filter as compiled: whom to ask, about which requests, what is told, and what the answer may do.

import type { LocalReply } from '../exchange/local-reply.js';
import type { RbacFilter } from '../rbac/rbac-filter.js';
import type { CallTarget } from '../upstream/calls/unary-call.js';
import type { AuthorizerCounts } from './authorizer-counts.js';
import type { NameMatcher } from './name-matcher.js';

/** Of dynamic metadata, the filters for access rules leave texts alone. */
export interface EnablingMetadata {
  /** `NAMESPACE:NAME`, as notes have it. */
  readonly name: string;
  readonly matches: (value: string) => boolean;
  readonly inverted: boolean;
}

/** How much of a body is told. */
export interface BodySettings {
  readonly maxBytes: number;
  /** A longer body is told in part, instead of being refused. */
  readonly partial: boolean;
  readonly asBytes: boolean;
}

/** What requests and connections have in common. */
export interface AuthorizerSettings {
  /** Undefined: all are asked about. */
  readonly enabling: EnablingMetadata | undefined;
  readonly failureAllows: boolean;
  /** The server name of the client's TLS is told. */
  readonly tellsServerName: boolean;
  readonly counts: AuthorizerCounts;
}

export interface GrpcService extends CallTarget {
  readonly kind: 'grpc';
}

export interface HttpService {
  readonly kind: 'http';
  readonly cluster: string;
  readonly timeoutMs: number;
  readonly pathPrefix: string;
  /** In place of the client's headers of the same names. */
  readonly headersToAdd: readonly (readonly [string, string])[];
  /** Of an answer that allows: headers for the upstream, those that are added beside the client's, and those for the client. */
  readonly toUpstream: NameMatcher;
  readonly toUpstreamBeside: NameMatcher;
  readonly toClientOnAllow: NameMatcher;
  readonly toMetadata: NameMatcher;
  /** Of one that denies. */
  readonly toClientOnDeny: NameMatcher;
}

export interface Authorizer extends AuthorizerSettings {
  readonly service: GrpcService | HttpService;
  /** Headers of the client that are told. */
  readonly isTold: NameMatcher;
  /** Each line by itself, with the bytes that it has. */
  readonly rawHeaders: boolean;
  readonly body: BodySettings | undefined;
  readonly reroutes: boolean;
  /** A request that goes on without an answer says so. */
  readonly marksFailures: boolean;
  /** An answer that cannot be done fails the request. */
  readonly strict: boolean;
  readonly takesMetadata: boolean;
  /** A denial counts as an answer of the cluster that the request is for. */
  readonly countsForCluster: boolean;
  readonly failureReply: LocalReply;
}

/** What comes before the filter for tokens, in order. */
export type FirstCheck =
  | { readonly kind: 'rules'; readonly filter: RbacFilter }
  | { readonly kind: 'authorizer'; readonly authorizer: Authorizer };

/** Whether what filters before it have noted makes it ask. */
export function asks({ enabling }: AuthorizerSettings, noted: ReadonlyMap<string, string>): boolean {
  if (enabling === undefined) return true;
  const value = noted.get(enabling.name);
  return (value !== undefined && enabling.matches(value)) !== enabling.inverted;
}
