// Reference: path normalization in plain strings, for property tests. Written from the rules, not from assembly/.

export interface PathRules {
  readonly normalize: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: 'keep' | 'reject' | 'unescape';
}

/** The path of a target (without query and fragment) as it must be matched and forwarded; undefined where it is refused. */
export function normalizePath(path: string, rules: PathRules): string | undefined {
  if (/%00/.test(path)) return undefined;
  if (rules.escapedSlashes === 'reject' && /%(2f|5c)/i.test(path)) return undefined;
  let text = path;
  if (rules.escapedSlashes === 'unescape') {
    text = text.replace(/%(2f|5c)/gi, (written) => (written.toLowerCase() === '%2f' ? '/' : '\\'));
  }
  if (rules.normalize) text = removeDotSegments(encodeRaw(decodeUnreserved(text)).replaceAll('\\', '/'));
  return rules.mergeSlashes ? text.replace(/\/{2,}/g, '/') : text;
}

/** Escapes of unreserved characters are decoded, once: a `%` that would begin an escape with what was decoded becomes `%25`. */
function decodeUnreserved(path: string): string {
  const parts = (path.match(/%[0-9a-f]{2}|[\s\S]/gi) ?? []).map((part) => {
    if (part.length === 1) return { text: part, decoded: false };
    const character = String.fromCharCode(Number.parseInt(part.slice(1), 16));
    const decoded = /^[A-Za-z0-9\-._~]$/.test(character);
    return { text: decoded ? character : part, decoded };
  });
  return parts
    .map(({ text }, index) => {
      const [first, second] = [parts[index + 1], parts[index + 2]];
      const isEscapeNow =
        text === '%' && /^[0-9a-f]{2}$/i.test(`${first?.text}${second?.text}`) && (first!.decoded || second!.decoded);
      return isEscapeNow ? '%25' : text;
    })
    .join('');
}

function encodeRaw(path: string): string {
  return path.replace(/["<>^`{|}]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** RFC 3986, 5.2.4, for a path that begins with a slash; dots with parameters are dots as well. */
function removeDotSegments(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/').slice(1);
  segments.forEach((segment, index) => {
    const last = index === segments.length - 1;
    const dots = /^(\.\.?)(;|$)/.exec(segment)?.[1];
    if (dots === undefined) {
      kept.push(segment);
      return;
    }
    if (dots === '..') kept.pop();
    if (last) kept.push('');
  });
  return `/${kept.join('/')}`;
}
