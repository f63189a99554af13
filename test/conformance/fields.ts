// Conformance, reading cases: takes fields out of YAML by name and type; whatever nobody took is an error.

import type { ExpectedHeader } from './case-file.js';

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export class Fields {
  private readonly taken = new Set<string>();
  private readonly value: Json;

  /** @param where what errors call it */
  constructor(
    private readonly where: string,
    value: unknown,
  ) {
    if (!isObject(value ?? {})) throw new Error(`${where} must be a mapping`);
    this.value = (value ?? {}) as Json;
  }

  static empty({ where }: Fields): Fields {
    return new Fields(where, {});
  }

  wrong(message: string): Error {
    return new Error(`${this.where}: ${message}`);
  }

  private take<T>(name: string, type: string, isRight: (value: unknown) => value is T): T | undefined {
    this.taken.add(name);
    const value = this.value[name];
    if (value === undefined) return undefined;
    if (!isRight(value)) throw this.wrong(`\`${name}\` must be ${type}`);
    return value;
  }

  /** Numbers and booleans are taken as they would be written. */
  text(name: string): string | undefined {
    const value = this.take(name, 'a text', (each): each is unknown => typeof each !== 'object' || each === null);
    return value === undefined ? undefined : String(value);
  }

  number(name: string): number | undefined {
    return this.take(name, 'a number', (each): each is number => typeof each === 'number');
  }

  flag(name: string): boolean | undefined {
    return this.take(name, 'true or false', (each): each is boolean => typeof each === 'boolean');
  }

  textOrList(name: string): readonly string[] | undefined {
    const value = this.take(name, 'a text or a list', (each): each is unknown => !isObject(each));
    if (value === undefined) return undefined;
    return (Array.isArray(value) ? value : [value]).map(String);
  }

  texts(name: string): Readonly<Record<string, string>> | undefined {
    const value = this.take(name, 'a mapping', isObject);
    return value && Object.fromEntries(Object.entries(value).map(([key, each]) => [key, String(each)]));
  }

  numbers(name: string): Readonly<Record<string, number>> | undefined {
    const value = this.take(name, 'a mapping', isObject);
    return value && Object.fromEntries(Object.entries(value).map(([key, each]) => [key, Number(each)]));
  }

  headers(name: string): Readonly<Record<string, ExpectedHeader>> {
    const value = this.take(name, 'a mapping', isObject) ?? {};
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [
        key.toLowerCase(),
        each === null ? null : Array.isArray(each) ? each.map(String) : String(each),
      ]),
    );
  }

  /** To be sent: a list is a header that is repeated. */
  headerLines(name: string): Readonly<Record<string, string | readonly string[]>> {
    return Object.fromEntries(Object.entries(this.headers(name)).map(([key, value]) => [key, value ?? '']));
  }

  /** It is there, and says that there is none. */
  isNull(name: string): boolean {
    if (this.value[name] !== null || !(name in this.value)) return false;
    this.taken.add(name);
    return true;
  }

  has(name: string): boolean {
    return this.value[name] !== undefined;
  }

  below(name: string): Fields | undefined {
    const value = this.take(name, 'a mapping', isObject);
    return value && new Fields(`${this.where}: ${name}`, value);
  }

  list(name: string): readonly Fields[] {
    const value = this.take(name, 'a list', (each): each is unknown[] => Array.isArray(each)) ?? [];
    return value.map((each, index) => new Fields(`${this.where}: ${name}[${index}]`, each));
  }

  entries(name: string): readonly (readonly [string, Fields])[] {
    const value = this.take(name, 'a mapping', isObject) ?? {};
    return Object.entries(value).map(([key, each]) => [key, new Fields(`${this.where}: ${name}.${key}`, each)]);
  }

  /** @throws Error where a field is left that nobody asked for */
  done(): void {
    const unknown = Object.keys(this.value).find((name) => !this.taken.has(name));
    if (unknown !== undefined) throw this.wrong(`unknown field \`${unknown}\``);
  }
}
