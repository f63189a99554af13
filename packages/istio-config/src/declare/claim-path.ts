// Names of claims: how a nested one is written, with dots or in brackets.

/** `.a.b` or `[a][b]` as names; undefined where it is neither. Names in brackets may have dots. */
export function claimPath(text: string): readonly string[] | undefined {
  const inBrackets = /^\[(.+)\]$/.exec(text)?.[1];
  const names = inBrackets?.split('][') ?? (text.startsWith('.') ? text.slice(1).split('.') : []);
  return names.length > 0 && names.every((name) => name !== '') ? names : undefined;
}
