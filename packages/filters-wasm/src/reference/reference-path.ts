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
  let decoded = path.replace(/%([0-9a-f]{2})/gi, (match, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    if (rules.escapedSlashes === 'unescape' && (character === '/' || character === '\\')) return character;
    return rules.normalize && /^[A-Za-z0-9\-._~]$/.test(character) ? character : match;
  });
  if (rules.normalize) decoded = removeDotSegments(decoded.replaceAll('\\', '/'));
  return rules.mergeSlashes ? decoded.replace(/\/{2,}/g, '/') : decoded;
}

/** RFC 3986, 5.2.4, for a path that begins with a slash. */
function removeDotSegments(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/').slice(1);
  segments.forEach((segment, index) => {
    const last = index === segments.length - 1;
    if (segment === '.' || segment === '..') {
      if (segment === '..') kept.pop();
      if (last) kept.push('');
    } else {
      kept.push(segment);
    }
  });
  return `/${kept.join('/')}`;
}
