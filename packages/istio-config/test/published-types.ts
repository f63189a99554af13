// Test oracle: the fields, types and one-ofs of Istio's published API, read from the declarations of @kubernetes-models/istio.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

const ROOT = dirname(createRequire(import.meta.url).resolve('@kubernetes-models/istio/package.json'));

/** What a published type says of a place in a spec. */
export type PublishedType =
  | { readonly kind: 'scalar'; readonly type: string }
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'list' | 'map'; readonly item: PublishedType }
  | {
      readonly kind: 'object';
      readonly fields: Readonly<Record<string, PublishedType>>;
      readonly required: readonly string[];
      /** Groups of fields of which at most one may be set. */
      readonly oneOfs: readonly (readonly string[])[];
    };

type PublishedObject = Extract<PublishedType, { kind: 'object' }>;

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

/**
 * Reads the part of TypeScript that generated declarations use. A message with a one-of is `Base & (Exclude<…> | A | B)`,
 * where `Base` has all fields and each of A, B requires one of them; several one-ofs are joined by `&`.
 */
class TypeReader {
  private readonly tokens: readonly string[];
  private at = 0;

  constructor(source: string) {
    this.tokens = source.match(/"[^"]*"|[A-Za-z_][\w.]*|[{}<>[\]();:?&|,]/g) ?? [];
  }

  /** A union of everything that follows. */
  readType(): PublishedType {
    const members: PublishedType[] = [];
    do {
      if (this.tokens[this.at] === 'Exclude') this.skipBrackets();
      else members.push(this.readIntersection());
    } while (this.skip('|'));
    return unionOf(members);
  }

  private readIntersection(): PublishedType {
    const first = this.readOne();
    if (first.kind !== 'object') return first;
    const oneOfs = [...first.oneOfs];
    while (this.skip('&')) oneOfs.push(...asObject(this.readOne()).oneOfs);
    return { ...first, oneOfs };
  }

  private readOne(): PublishedType {
    const token = this.next();
    if (token === '{') return this.readObject();
    if (token === 'Array') {
      this.expect('<');
      const item = this.readType();
      this.expect('>');
      return { kind: 'list', item };
    }
    if (token === '(') {
      const inner = this.readType();
      this.expect(')');
      return inner;
    }
    return token.startsWith('"') ? { kind: 'words', words: [unquote(token)] } : { kind: 'scalar', type: token };
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
    const required: string[] = [];
    for (let token = this.next(); token !== '}'; token = this.next()) {
      if (token === ';') continue;
      if (!this.skip('?')) required.push(unquote(token));
      this.expect(':');
      fields[unquote(token)] = this.readType();
    }
    return { kind: 'object', fields, required, oneOfs: [] };
  }

  private skipBrackets(): void {
    for (let depth = 0; ; ) {
      const token = this.next();
      if ('{<(['.includes(token)) depth++;
      else if ('}>)]'.includes(token) && --depth === 0) return;
    }
  }

  private skip(wanted: string): boolean {
    if (this.tokens[this.at] !== wanted) return false;
    this.at++;
    return true;
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

/** Objects of which each requires another field are a one-of. */
function unionOf(members: readonly PublishedType[]): PublishedType {
  const [first] = members;
  if (!first) throw new Error('a union of nothing');
  if (members.length === 1) return first;
  if (first.kind === 'words') {
    return { kind: 'words', words: members.flatMap((member) => (member.kind === 'words' ? member.words : [])) };
  }
  if (first.kind === 'scalar') {
    const types = members.flatMap((member) => (member.kind === 'scalar' ? [member.type] : []));
    return { kind: 'scalar', type: types.sort().join(' or ') };
  }
  const objects = members.map(asObject);
  const always = asObject(first).required.filter((field) => objects.every(({ required }) => required.includes(field)));
  const choices = [...new Set(objects.flatMap(({ required }) => required))].filter((field) => !always.includes(field));
  const oneOfs = [...objects.flatMap((object) => object.oneOfs), choices.sort()].filter((group) => group.length > 1);
  return { ...asObject(first), required: always, oneOfs };
}

function asObject(type: PublishedType): PublishedObject {
  if (type.kind !== 'object') throw new Error(`an object expected, but there is ${type.kind}`);
  return type;
}

function unquote(token: string): string {
  return token.replaceAll('"', '');
}
