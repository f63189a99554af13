// Routes that the proxy answers itself: direct responses and redirects.
import {
  type DirectResponseAction,
  DirectResponseActionSchema,
  type RedirectAction,
  RedirectActionSchema,
  type Route,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import * as L from '../layout.js';
import * as T from '../table-layout.js';
import type { BlobWriter } from './blob-writer.js';
import { writeRegexRewrite } from './match/regex-table.js';
import type { ProblemList } from './problems.js';
import { join, refuseOtherFields } from './supported-fields.js';

/** RedirectAction.response_code, in the order of its enum. */
const REDIRECT_STATUS = [301, 302, 303, 307, 308] as const;

/** Fills the action fields of the ROUTE_ENTRY at `at`. */
export function writeLocalAction(
  problems: ProblemList,
  blob: BlobWriter,
  at: number,
  path: string,
  route: Route,
  maxBodyBytes: number,
): void {
  switch (route.action.case) {
    case 'directResponse':
      blob.int(at + T.ROUTE_ENTRY_ACTION, L.ROUTE_ACTION_DIRECT);
      writeDirect(problems, blob, at, join(path, 'direct_response'), route.action.value, maxBodyBytes);
      return;
    case 'redirect':
      blob.int(at + T.ROUTE_ENTRY_ACTION, L.ROUTE_ACTION_REDIRECT);
      writeRedirect(problems, blob, at, join(path, 'redirect'), route.action.value);
      return;
    case undefined:
      problems.add(path, 'has no action');
      return;
    default: // filter_action and non_forwarding_action are refused by name with the route's other fields
  }
}

/** A text that becomes part of a request line, a Host or a location: visible, and not longer than the core has room for. */
export function checkRewrite(problems: ProblemList, path: string, text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes > L.MAX_REWRITE_BYTES)
    problems.add(path, `has ${bytes} bytes; at most ${L.MAX_REWRITE_BYTES} are supported`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what would split a line
  if (/[\u0000-\u0020\u007f]/.test(text)) problems.add(path, 'has a space or a control character');
}

function writeDirect(
  problems: ProblemList,
  blob: BlobWriter,
  at: number,
  path: string,
  action: DirectResponseAction,
  maxBodyBytes: number,
): void {
  refuseOtherFields(problems, path, DirectResponseActionSchema, action, 'status body');
  if (action.status < 200 || action.status > 599) {
    problems.add(join(path, 'status'), `is ${action.status}; it must be between 200 and 599`);
  }
  blob.int(at + T.ROUTE_ENTRY_STATUS, action.status);
  const source = action.body?.specifier;
  if (source === undefined || source.case === undefined) return;
  if (source.case !== 'inlineString' && source.case !== 'inlineBytes') {
    problems.add(join(path, 'body'), 'is supported as inline_string or inline_bytes only');
    return;
  }
  const body = Buffer.from(source.value as string | Uint8Array);
  if (body.length > maxBodyBytes) {
    problems.add(
      join(path, 'body'),
      `has ${body.length} bytes; max_direct_response_body_size_bytes is ${maxBodyBytes}`,
    );
  }
  blob.int(at + T.ROUTE_ENTRY_BODY_OFFSET, blob.content(body));
  blob.int(at + T.ROUTE_ENTRY_BODY_LENGTH, body.length);
}

function writeRedirect(
  problems: ProblemList,
  blob: BlobWriter,
  at: number,
  path: string,
  action: RedirectAction,
): void {
  refuseOtherFields(
    problems,
    path,
    RedirectActionSchema,
    action,
    `https_redirect scheme_redirect host_redirect port_redirect path_redirect prefix_rewrite regex_rewrite response_code
     strip_query`,
  );
  blob.int(at + T.ROUTE_ENTRY_STATUS, REDIRECT_STATUS[action.responseCode] ?? 301);
  const scheme = action.schemeRewriteSpecifier;
  if (scheme.case === 'httpsRedirect' && scheme.value) blob.int(at + T.ROUTE_ENTRY_REDIRECT_SCHEME, 2);
  if (scheme.case === 'schemeRedirect') {
    const known = { http: 1, https: 2 }[scheme.value.toLowerCase()];
    if (known === undefined) problems.add(join(path, 'scheme_redirect'), `"${scheme.value}" is not http or https`);
    blob.int(at + T.ROUTE_ENTRY_REDIRECT_SCHEME, known ?? 0);
  }
  blob.int(at + T.ROUTE_ENTRY_REDIRECT_PORT, action.portRedirect);
  checkRewrite(problems, join(path, 'host_redirect'), action.hostRedirect);
  if (action.hostRedirect !== '') blob.text(at + T.ROUTE_ENTRY_HOST_OFFSET, action.hostRedirect);
  const rewrite = action.pathRewriteSpecifier;
  let flags = action.stripQuery ? T.ROUTE_ENTRY_FLAG_STRIP_QUERY : 0;
  // Empty means that the path of the request is kept, as with Envoy.
  if ((rewrite.case === 'pathRedirect' || rewrite.case === 'prefixRewrite') && rewrite.value !== '') {
    const field = rewrite.case === 'pathRedirect' ? 'path_redirect' : 'prefix_rewrite';
    checkRewrite(problems, join(path, field), rewrite.value);
    blob.text(at + T.ROUTE_ENTRY_REWRITE_OFFSET, rewrite.value);
    flags |= rewrite.case === 'pathRedirect' ? T.ROUTE_ENTRY_FLAG_REDIRECT_PATH : T.ROUTE_ENTRY_FLAG_REDIRECT_PREFIX;
  }
  if (rewrite.case === 'regexRewrite') {
    const where = join(path, 'regex_rewrite');
    checkRewrite(problems, join(where, 'substitution'), rewrite.value.substitution);
    blob.int(at + T.ROUTE_ENTRY_REGEX_REWRITE, writeRegexRewrite(problems, blob, where, rewrite.value));
  }
  blob.addBits(at + T.ROUTE_ENTRY_FLAGS, flags);
}
