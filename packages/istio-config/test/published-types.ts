// Test oracle: the field names of Istio's published API, read from the type declarations of @kubernetes-models/istio.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

const ROOT = dirname(createRequire(import.meta.url).resolve('@kubernetes-models/istio/package.json'));

/** What a published type says of a place in a spec. */
export type PublishedType =
  | { readonly kind: 'scalar' }
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'list' | 'map'; readonly item: PublishedType }
  | { readonly kind: 'object'; readonly fields: Readonly<Record<string, PublishedType>> };

/** Whether the package has a kind in a version. */
export function isPublished(group: string, version: string, kind: string): boolean {
  return existsSync(`${ROOT}/${group}/${version}/${kind}.d.ts`);
}

/** The type of `spec` of a kind. */
export function publishedSpec(group: string, version: string, kind: string): PublishedType {
  const source = readFileSync(`${ROOT}/${group}/${version}/${kind}.d.ts`, 'utf8').replace(/\/\*\*[\s\S]*?\*\//g, '');
  const start = /"spec"\??:/.exec(source);
  if (!start) throw new Error(`no spec in the published type of ${kind}`);
  return new TypeReader(source.slice(start.index + start[0].length)).readType();
}

/** Reads the part of TypeScript that generated declarations use. Of a union of objects the first member has all fields. */
class TypeReader {
  private readonly tokens: readonly string[];
  private at = 0;

  constructor(source: string) {
    this.tokens = source.match(/"[^"]*"|[A-Za-z_][\w.]*|[{}<>[\]();:?&|,]/g) ?? [];
  }

  readType(): PublishedType {
    const token = this.next();
    if (token === '{') return this.skipUnion(this.readObject());
    if (token === 'Array') {
      this.expect('<');
      const item = this.readType();
      this.expect('>');
      return this.skipUnion({ kind: 'list', item });
    }
    if (!token.startsWith('"')) return this.skipUnion({ kind: 'scalar' });
    const words = [unquote(token)];
    while (this.tokens[this.at] === '|') {
      this.at++;
      words.push(unquote(this.next()));
    }
    return { kind: 'words', words };
  }

  private readObject(): PublishedType {
    if (this.tokens[this.at] === '[') {
      while (this.next() !== ']');
      this.expect(':');
      const item = this.readType();
      while (this.next() !== '}');
      return { kind: 'map', item };
    }
    const fields: Record<string, PublishedType> = {};
    for (let token = this.next(); token !== '}'; token = this.next()) {
      if (token === ';') continue;
      if (this.tokens[this.at] === '?') this.at++;
      this.expect(':');
      fields[unquote(token)] = this.readType();
    }
    return { kind: 'object', fields };
  }

  private skipUnion(type: PublishedType): PublishedType {
    for (let depth = 0; ; this.at++) {
      const token = this.tokens[this.at];
      if (token === undefined) return type;
      if (depth === 0 && [';', '>', ',', ')', '}'].includes(token)) return type;
      if ('{<(['.includes(token)) depth++;
      else if ('}>)]'.includes(token)) depth--;
    }
  }

  private next(): string {
    const token = this.tokens[this.at++];
    if (token === undefined) throw new Error('the published type ends early');
    return token;
  }

  private expect(wanted: string): void {
    const token = this.next();
    if (token !== wanted) throw new Error(`${wanted} expected, but there is ${token}`);
  }
}

function unquote(token: string): string {
  return token.replaceAll('"', '');
}
