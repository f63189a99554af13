// Reference: formats of strings as JSON Schema writes them. A schema says less than the check, never more.
import {
  corsHeaderName,
  destinationHost,
  dialledHost,
  dnsLabel,
  exportTarget,
  headerName,
  headerValue,
  hexBytes,
  ipAddress,
  labelNameFault,
  labelValue,
  matchedHeaderName,
  regex,
  regexOrStar,
  subnet,
  wildcardHost,
  writtenHeaderName,
} from '../declare/formats.js';
import { claimName, jsonWebKeySet, jwksAddress, tokenHeaderName } from '../declare/formats-of-tokens.js';
import { labelName, objectName, portName } from '../declare/kubernetes-names.js';
import type { StringFormat } from '../declare/scalars.js';

/** Keywords of JSON Schema. */
export type Keywords = Readonly<Record<string, unknown>>;

const ADDRESSES = [{ format: 'ipv4' }, { format: 'ipv6' }];
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const WILDCARD = '^[*]?[A-Za-z0-9.-]*$';
const ALNUM = '[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?';

/** Go's durations: `5s`, `1h30m`, `0`. */
export const DURATION: Keywords = {
  pattern: '^[+]?(0|(([0-9]+([.][0-9]*)?|[.][0-9]+)(h|ms|us|\u00b5s|\u03bcs|ns|m|s))+)$',
  examples: ['5s', '250ms', '1h30m'],
};

const PATTERNS: ReadonlyMap<StringFormat, Keywords> = new Map<StringFormat, Keywords>([
  [dnsLabel, { pattern: '^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$' }],
  [headerName, { pattern: `^${TOKEN}$` }],
  [writtenHeaderName, { pattern: `^(${TOKEN}|:[aA][uU][tT][hH][oO][rR][iI][tT][yY])$` }],
  [matchedHeaderName, { pattern: '^([-_A-Za-z0-9]+|@[rR].*)$' }],
  [corsHeaderName, { pattern: '^([*]|[-_A-Za-z0-9]+)$' }],
  // Any text without control bytes.
  [headerValue, {}],
  [hexBytes, { pattern: '^([0-9A-Fa-f]{2})+$' }],
  [ipAddress, { anyOf: ADDRESSES }],
  [subnet, { anyOf: [...ADDRESSES, { pattern: '^[0-9a-fA-F.:]+/[0-9]{1,3}$' }] }],
  [labelValue, { pattern: `^(${ALNUM})?$` }],
  [labelNameFault, { pattern: `^([A-Za-z0-9.-]+/)?${ALNUM}$` }],
  [destinationHost, { pattern: WILDCARD, minLength: 1 }],
  [wildcardHost, { pattern: WILDCARD, minLength: 1 }],
  [dialledHost, { pattern: '^[A-Za-z0-9.:-]+$' }],
  [labelName, { pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' }],
  [objectName, { pattern: '^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$', maxLength: 253 }],
  [portName, { pattern: '^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$' }],
  // RE2's syntax is not the one that JSON Schema's `regex` means.
  [regex, {}],
  [regexOrStar, {}],
  [exportTarget, {}],
  // Dots between names, or each in brackets.
  [claimName, { minLength: 1 }],
  [tokenHeaderName, { pattern: '^[-_A-Za-z0-9]*$' }],
  [jwksAddress, { format: 'uri', pattern: '^https?://' }],
  [jsonWebKeySet, { contentMediaType: 'application/json' }],
]);

/** The keywords of a format; undefined for one that has none here, which a test reports. */
export function patternOf(format: StringFormat): Keywords | undefined {
  return PATTERNS.get(format);
}

/** Whether a format is an address or subnet. */
export function isIpFormat(format: StringFormat): boolean {
  return format === subnet || format === ipAddress;
}
