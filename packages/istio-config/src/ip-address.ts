// Values: IP addresses, without a network library, since this package is pure.

const IPV4_PART = /^(0|[1-9]\d{0,2})$/;
const IPV6_GROUP = /^[0-9a-f]{1,4}$/i;
const IPV6_GROUPS = 8;

/** 4 or 6 where the text is an address of that version (no brackets, no zone), else 0. */
export function ipVersion(text: string): 0 | 4 | 6 {
  if (isIpv4(text)) return 4;
  return isIpv6(text) ? 6 : 0;
}

function isIpv4(text: string): boolean {
  const parts = text.split('.');
  return parts.length === 4 && parts.every((part) => IPV4_PART.test(part) && Number(part) <= 255);
}

function isIpv6(text: string): boolean {
  const halves = text.split('::');
  if (halves.length > 2) return false;
  let groups = 0;
  for (const [index, half] of halves.entries()) {
    if (half === '') {
      // An empty half belongs to `::`; without it the text would be empty.
      if (halves.length === 1) return false;
      continue;
    }
    const parts = half.split(':');
    const last = parts.at(-1)!;
    const isEnd = index === halves.length - 1;
    if (isEnd && isIpv4(last)) {
      parts.pop();
      groups += 2;
    }
    if (!parts.every((part) => IPV6_GROUP.test(part))) return false;
    groups += parts.length;
  }
  return halves.length === 2 ? groups < IPV6_GROUPS : groups === IPV6_GROUPS;
}
