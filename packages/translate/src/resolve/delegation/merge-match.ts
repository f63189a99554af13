// Resolve, delegation: the conditions of a rule that delegates joined with those of the delegate's rule, by Istio's rules.

import type { HttpMatchRequest, StringMatch } from '@lateen/istio-config';

type Matches = Readonly<Record<string, StringMatch>>;

/** What a match says, without the forms that say nothing. */
function readMatch({ exact, prefix, regex }: StringMatch): { readonly form: string; readonly text: string } {
  if (regex) return { form: 'regex', text: regex };
  if (exact) return { form: 'exact', text: exact };
  if (prefix) return { form: 'prefix', text: prefix };
  return { form: 'none', text: '' };
}

/** Whether not everything that the delegate asks for is what the root lets through. */
function isStringConflict(root: StringMatch | undefined, delegate: StringMatch | undefined): boolean {
  if (root === undefined || delegate === undefined) return false;
  const outer = readMatch(root);
  const inner = readMatch(delegate);
  if (outer.form === 'exact') return inner.form !== 'exact' || inner.text !== outer.text;
  if (outer.form === 'prefix' && (inner.form === 'exact' || inner.form === 'prefix')) {
    return !inner.text.startsWith(outer.text);
  }
  // Of two regular expressions nobody knows, and presence (an empty match) is never compared.
  return true;
}

function isMapConflict(root: Matches | undefined, delegate: Matches | undefined): boolean {
  return Object.entries(delegate ?? {}).some(([name, match]) => isStringConflict(root?.[name], match));
}

function isGatewayConflict(root: readonly string[] = [], delegate: readonly string[] = []): boolean {
  if (root.length === 0 || delegate.length === 0) return false;
  return root.length < delegate.length || delegate.some((gateway) => !root.includes(gateway));
}

/** Whether the delegate's condition could hold where the root's does not. */
export function isConflict(root: HttpMatchRequest, delegate: HttpMatchRequest): boolean {
  return (
    isStringConflict(root.uri, delegate.uri) ||
    isStringConflict(root.scheme, delegate.scheme) ||
    isStringConflict(root.method, delegate.method) ||
    isStringConflict(root.authority, delegate.authority) ||
    isMapConflict(root.headers, delegate.headers) ||
    isMapConflict(root.withoutHeaders, delegate.withoutHeaders) ||
    isMapConflict(root.queryParams, delegate.queryParams) ||
    (root.ignoreUriCase ?? false) !== (delegate.ignoreUriCase ?? false) ||
    (root.port !== undefined && delegate.port !== undefined && root.port !== delegate.port) ||
    (Boolean(root.sourceNamespace) && delegate.sourceNamespace !== root.sourceNamespace) ||
    Object.entries(delegate.sourceLabels ?? {}).some(
      ([name, value]) => (root.sourceLabels?.[name] ?? value) !== value,
    ) ||
    isGatewayConflict(root.gateways, delegate.gateways)
  );
}

/** `ROOT-DELEGATE`, or the one that there is. */
export function joinNames(root: string | undefined, delegate: string | undefined): string | undefined {
  return root && delegate ? `${root}-${delegate}` : delegate || root;
}

/** Both conditions together; where both say something of the same thing, the delegate's, which is the narrower one. */
export function mergeMatch(root: HttpMatchRequest, delegate: HttpMatchRequest): HttpMatchRequest {
  return {
    ...delegate,
    name: joinNames(root.name, delegate.name),
    uri: delegate.uri ?? root.uri,
    scheme: delegate.scheme ?? root.scheme,
    method: delegate.method ?? root.method,
    authority: delegate.authority ?? root.authority,
    headers: { ...root.headers, ...delegate.headers },
    withoutHeaders: { ...root.withoutHeaders, ...delegate.withoutHeaders },
    queryParams: { ...root.queryParams, ...delegate.queryParams },
    port: delegate.port ?? root.port,
    sourceLabels: { ...root.sourceLabels, ...delegate.sourceLabels },
    sourceNamespace: delegate.sourceNamespace || root.sourceNamespace,
    gateways: delegate.gateways?.length ? delegate.gateways : root.gateways,
    statPrefix: delegate.statPrefix || root.statPrefix,
  };
}
