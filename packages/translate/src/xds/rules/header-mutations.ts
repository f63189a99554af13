// Build: a VirtualService's header operations as fields of a route or of a weighted cluster.

import { create } from '@bufbuild/protobuf';
import type { HeaderOperations, Headers } from '@lateen/istio-config';
import {
  HeaderValueOption_HeaderAppendAction as AppendAction,
  type HeaderValueOption,
  HeaderValueOptionSchema,
} from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { compareText } from '../../stable-hash.js';

/** Header changes in Envoy's form. */
export interface HeaderMutations {
  readonly requestHeadersToAdd: HeaderValueOption[];
  readonly requestHeadersToRemove: string[];
  readonly responseHeadersToAdd: HeaderValueOption[];
  readonly responseHeadersToRemove: string[];
  /** A Host (or `:authority`) to write; Envoy does that by rewriting the host, not by a header. */
  readonly authority: string | undefined;
}

/** Envoy does not change these by header operations. */
function isPseudoHeader(name: string): boolean {
  return name.startsWith(':') || name.toLowerCase() === 'host';
}

function isAuthority(name: string): boolean {
  return name.toLowerCase() === ':authority' || name.toLowerCase() === 'host';
}

function options(headers: Readonly<Record<string, string>> | undefined, appendAction: AppendAction) {
  return Object.entries(headers ?? {})
    .filter(([name]) => !isPseudoHeader(name))
    .sort(([a], [b]) => compareText(a, b))
    .map(([key, value]) => create(HeaderValueOptionSchema, { header: { key, value }, appendAction }));
}

/** `set` comes before `add`, so that a header that has both is replaced and then added to. */
function toAdd(operations: HeaderOperations | undefined): HeaderValueOption[] {
  return [
    ...options(operations?.set, AppendAction.OVERWRITE_IF_EXISTS_OR_ADD),
    ...options(operations?.add, AppendAction.APPEND_IF_EXISTS_OR_ADD),
  ];
}

function toRemove(operations: HeaderOperations | undefined): string[] {
  return (operations?.remove ?? []).filter((name) => !isPseudoHeader(name));
}

function authorityOf(headers: Readonly<Record<string, string>> | undefined): string | undefined {
  return Object.entries(headers ?? {}).find(([name]) => isAuthority(name))?.[1];
}

/** The changes of one level (rule or destination). */
export function buildHeaderMutations(headers: Headers | undefined): HeaderMutations {
  const { request, response } = headers ?? {};
  return {
    requestHeadersToAdd: toAdd(request),
    requestHeadersToRemove: toRemove(request),
    responseHeadersToAdd: toAdd(response),
    responseHeadersToRemove: toRemove(response),
    authority: authorityOf(request?.set) ?? authorityOf(request?.add),
  };
}
