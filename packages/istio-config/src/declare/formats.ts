// Declarations: the formats of strings: names, hosts, addresses, headers.

import { ipVersion } from '../ip-address.js';
import { claimPath } from './claim-path.js';
import { regexFault } from './regex.js';
import type { FormatFault, StringFormat } from './scalars.js';

const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const LABEL_VALUE = /^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/;
const LABEL_NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;

/** Whether the text is one DNS label (RFC 1123, at most 63 characters). */
export function isDnsLabel(value: string): boolean {
  return DNS_LABEL.test(value);
}

/** Whether the text is an IPv4 or IPv6 address. */
export function isIpAddress(value: string): boolean {
  return ipVersion(value) !== 0;
}

/** Whether the text is an address, or an address and a prefix length. */
export function isIpOrCidr(value: string): boolean {
  const [address, bits, ...rest] = value.split('/');
  const version = ipVersion(address ?? '');
  if (version === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}

/** What is wrong with a fully qualified or short DNS name (no wildcard). */
export function dnsNameFault(value: string): string | undefined {
  if (value === '') return 'is empty';
  if (value.length > 255) return 'is longer than 255 characters';
  const labels = (value.endsWith('.') ? value.slice(0, -1) : value).split('.');
  const bad = labels.find((label) => !DNS_LABEL.test(label));
  if (bad === undefined) {
    // No top-level domain is a number, so that an address with a mistake in it is not taken for a name (Istio's rule).
    const isNumber = labels.length > 1 && /^\d+$/.test(labels.at(-1)!);
    return isNumber ? 'ends in a number, as no DNS name does' : undefined;
  }
  return bad === '' ? 'has an empty part between its dots' : `has \`${bad}\` in it, which no DNS name may have`;
}

/** What is wrong with a DNS name that may begin with a wildcard. */
export function wildcardNameFault(value: string): string | undefined {
  if (value === '*') return undefined;
  const star = value.lastIndexOf('*');
  if (star > 0) return 'has a `*` that is not its first character';
  if (star < 0) return dnsNameFault(value);
  if (value.startsWith('*.')) return dnsNameFault(value.slice(2));
  // Istio takes `*foo.com` too: a suffix within one label.
  return dnsNameFault(`x${value.slice(1)}`);
}

/** A DNS label: the name of a subset, a port, a namespace. */
export const dnsLabel: StringFormat = (value) =>
  isDnsLabel(value)
    ? undefined
    : {
        code: 'name',
        text: `\`${value}\` is not a name; write letters, digits and \`-\`, at most 63, no \`-\` at an end`,
      };

/** A host that a route leads to: a DNS name or short name, or a wildcard for part of one; no address. */
export const destinationHost: StringFormat = (value) =>
  hostFault(value, value === '*' ? 'is every host, but must be one' : wildcardNameFault(value));

/** A host that is dialled: a DNS name or an address. */
export const dialledHost: StringFormat = (value) =>
  isIpAddress(value) ? undefined : hostFault(value, dnsNameFault(value));

/** A host or a wildcard. */
export const wildcardHost: StringFormat = (value) => hostFault(value, wildcardNameFault(value));

function hostFault(value: string, wrong: string | undefined): FormatFault {
  if (wrong === undefined) return undefined;
  return {
    code: 'host',
    text: `host \`${value}\` ${wrong}; write a DNS name such as reviews.default.svc.cluster.local`,
  };
}

/** The name of a header (RFC 9110's token); `:method` and its like are none. */
export const headerName: StringFormat = (value) => (HEADER_NAME.test(value) ? undefined : badHeaderName(value));

/** A claim of a JSON web token in the place of a header name: `@request.auth.claims.group`, `@request.auth.claims[group]`. */
export function isClaimName(value: string): boolean {
  const prefix = '@request.auth.claims';
  return value.toLowerCase().startsWith(prefix) && claimPath(value.slice(prefix.length)) !== undefined;
}

/** The name of a header that is matched: letters, digits, `-` and `_` only (Istio's rule), or a claim. */
export const matchedHeaderName: StringFormat = (value) =>
  isClaimName(value) || /^[-_A-Za-z0-9]+$/.test(value) ? undefined : badHeaderName(value);

/** A header name in a CORS policy; `*` is any. */
export const corsHeaderName: StringFormat = (value) =>
  value === '*' || /^[-_A-Za-z0-9]+$/.test(value) ? undefined : badHeaderName(value);

function badHeaderName(value: string): FormatFault {
  const advice = 'write letters, digits and `-`, such as x-user-id';
  return { code: 'header-name', text: `\`${value}\` is not a header name that can be used here; ${advice}` };
}

/** The name of a header that is written: `:authority` too, which Istio takes for Host. */
export const writtenHeaderName: StringFormat = (value) =>
  value.toLowerCase() === ':authority' ? undefined : headerName(value);

/** What is wrong with a header's value: control bytes other than a tab. */
export function headerValueFault(value: string): FormatFault {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) {
      const shown = `0x${code.toString(16).padStart(2, '0')}`;
      return { code: 'header-value', text: `the header value has the control byte ${shown} in it; take it out` };
    }
  }
  return undefined;
}

/** A header value. */
export const headerValue: StringFormat = headerValueFault;

/** Bytes in hexadecimal digits. */
export const hexBytes: StringFormat = (value) =>
  /^(?:[0-9A-Fa-f]{2})+$/.test(value)
    ? undefined
    : { code: 'hex', text: `\`${value}\` is not hexadecimal; write two digits for each byte, such as 50494e47` };

/** The value of a label. */
export const labelValue: StringFormat = (value) =>
  LABEL_VALUE.test(value)
    ? undefined
    : {
        code: 'label',
        text: `\`${value}\` is not a label's value; write at most 63 letters, digits, \`-\`, \`_\` and \`.\``,
      };

/** What is wrong with the name of a label (`app`, `topology.istio.io/network`). */
export function labelNameFault(value: string): FormatFault {
  const slash = value.indexOf('/');
  const prefix = slash < 0 ? undefined : value.slice(0, slash);
  const name = slash < 0 ? value : value.slice(slash + 1);
  if (LABEL_NAME.test(name) && (prefix === undefined || dnsNameFault(prefix) === undefined)) return undefined;
  return { code: 'label', text: `\`${value}\` is not a label's name; write a name such as app or example.com/app` };
}

/** An IP address. */
export const ipAddress: StringFormat = (value) =>
  isIpAddress(value)
    ? undefined
    : { code: 'address', text: `\`${value}\` is not an IP address; write one such as 10.0.0.1 or 2001:db8::1` };

/** An IP address or a subnet. */
export const subnet: StringFormat = (value) =>
  isIpOrCidr(value)
    ? undefined
    : { code: 'address', text: `\`${value}\` is not an IP address or subnet; write one such as 10.0.0.0/8` };

/** A regular expression in RE2's syntax. */
export const regex: StringFormat = (value) => {
  const wrong = regexFault(value);
  return wrong === undefined ? undefined : { code: 'regex', text: `the regular expression ${wrong}` };
};

/** A regular expression, or `*` alone, which Istio takes for "is there" in `withoutHeaders`. */
export const regexOrStar: StringFormat = (value) => (value === '*' ? undefined : regex(value));

/** `namespace/name` or `name`. */
export const resourceReference: StringFormat = (value) => {
  const parts = value.split('/');
  const good = parts.length <= 2 && parts.every((part) => dnsNameFault(part) === undefined);
  if (good) return undefined;
  return { code: 'reference', text: `\`${value}\` is not a name; write NAME, or NAMESPACE/NAME for another namespace` };
};

/** A member of `exportTo`: `.`, `*`, `~` or a namespace. */
export const exportTarget: StringFormat = (value) =>
  value === '.' || value === '*' || value === '~' || isDnsLabel(value)
    ? undefined
    : {
        code: 'export-to',
        text: `\`${value}\` is not a namespace; write a name, \`.\` for this namespace or \`*\` for all`,
      };
