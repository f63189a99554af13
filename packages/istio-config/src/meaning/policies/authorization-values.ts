// Meaning of AuthorizationPolicy: the values of its fields and conditions.
import { isIpOrCidr } from '../../declare/formats.js';

/** A character of a path segment (RFC 3986, appendix A). */
const SEGMENT = /^[a-zA-Z0-9\-._~%!$&'()+,;:@=]+$/;

/** What is wrong with a port, which is a string here. */
export function portFault(value: string): string | undefined {
  if (/^\d{1,10}$/.test(value) && Number(value) <= 65_535) return undefined;
  return `\`${value}\` is not a port; write a number up to 65535, in quotes`;
}

/** What is wrong with an address or subnet. */
export function addressFault(value: string): string | undefined {
  return isIpOrCidr(value) ? undefined : `\`${value}\` is not an IP address or subnet; write one such as 10.0.0.0/8`;
}

/** What is wrong with NAME or NAMESPACE/NAME. */
export function serviceAccountFault(value: string): string | undefined {
  const parts = value.split('/');
  if (value.includes('*')) return `the service account \`${value}\` has a wildcard; name each`;
  if (parts.length <= 2 && !parts.includes('')) return undefined;
  return `\`${value}\` is not a service account; write NAME or NAMESPACE/NAME`;
}

/** What should be known of a value with more than one wildcard, or with one in the middle; a path template has others. */
export function wildcardRemark(value: string): string | undefined {
  const rest = value.startsWith('*') ? value.slice(1) : value.replace(/\*$/, '');
  if (!rest.replace(/\{\*{1,2}\}/g, '').includes('*')) return undefined;
  return `only the first or the last character of \`${value}\` is a wildcard; the other \`*\` is a character like any`;
}

/** What is wrong with a path that may be a template: `{*}` is one segment, `{**}` any number of them, once and last. */
export function pathTemplateFault(path: string): string | undefined {
  const isTemplate = path.includes('{*}') || path.includes('{**}');
  if (isTemplate && !path.startsWith('/')) return `the path template \`${path}\` begins with no \`/\`; add it`;
  let isAfterRest = false;
  for (const segment of path.replace(/^\/+|\/+$/g, '').split('/')) {
    if (segment === '{*}' || segment === '{**}') {
      if (isAfterRest) return `the path \`${path}\` goes on with \`${segment}\` after {**}; write {**} last`;
      isAfterRest = segment === '{**}';
    } else if (/[{}]/.test(segment)) {
      return `the path \`${path}\` has braces in \`${segment}\`; write {*} or {**} as a whole segment`;
    } else if (isTemplate && !SEGMENT.test(segment)) {
      return `the path template \`${path}\` has \`${segment}\` in it, which no segment may be; write letters, digits and -._~%`;
    }
  }
  return undefined;
}
