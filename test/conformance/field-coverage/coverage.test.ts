// Conformance, coverage: every field of the traffic kinds is in a case, or listed as one that is refused or warned of, and
// really is. What cases set is read off their YAML.

import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { caseNames, readCase } from '../case-file.js';
import { isNamedIn, readNotActedOn, standingOf, takesIn } from './not-acted-on.js';
import { COVERED_KINDS, type CoveredKind, fieldsOf, fieldsSet, oncePerMessage, specSchemaOf } from './schema-fields.js';

interface Document {
  readonly kind?: string;
  readonly spec?: unknown;
}

/** What all cases set, by kind. */
function fieldsInCases(): ReadonlyMap<CoveredKind, ReadonlySet<string>> {
  const used = new Map(COVERED_KINDS.map((kind) => [kind, new Set<string>()]));
  for (const name of caseNames()) {
    const { config, mesh } = readCase(name);
    const documents = parseAllDocuments(config).map((document) => document.toJS() as Document | null);
    const all = [...documents, { kind: 'MeshConfig', spec: parseAllDocuments(mesh)[0]?.toJS() ?? {} }];
    for (const document of all) {
      const kind = COVERED_KINDS.find((each) => each === document?.kind);
      if (kind === undefined) continue;
      for (const field of fieldsSet(specSchemaOf(kind), document?.spec)) used.get(kind)!.add(oncePerMessage(field));
    }
  }
  return used;
}

const used = fieldsInCases();
const notActedOn = readNotActedOn();

describe.each(COVERED_KINDS)('%s:', (kind) => {
  const fields = [...new Set(fieldsOf(specSchemaOf(kind)).map(oncePerMessage))];
  const { refused = [], warned = [], untested = [], unseen = {}, elsewhere = {} } = notActedOn[kind] ?? {};
  const paths = [...refused, ...warned, ...untested, ...Object.keys(elsewhere)];
  /** Of several that take the field in, the most exact one. */
  const pathOf = (field: string) => paths.filter((path) => takesIn(path, field)).sort((a, b) => b.length - a.length)[0];

  test('every field is in a case, or in not-acted-on.yaml', () => {
    const missing = fields.filter((field) => !used.get(kind)?.has(field) && pathOf(field) === undefined);
    expect(missing).toEqual([]);
  });

  test('what is in not-acted-on.yaml is refused, or warned of, by name', () => {
    const wrong = fields.flatMap((field) => {
      const path = pathOf(field);
      if (path === undefined) return [];
      const said = refused.includes(path) ? 'refused' : warned.includes(path) ? 'warned of' : 'acted on';
      const standing = standingOf(kind, field) ?? 'acted on';
      return standing === said ? [] : [`${field} is ${standing}, not ${said}`];
    });
    expect(wrong).toEqual([]);
  });

  test('fields that are tested elsewhere are named there', () => {
    const absent = Object.entries(elsewhere).filter(([path, file]) => !isNamedIn(file, path));
    expect(absent).toEqual([]);
  });

  test('what is said to be untested is', () => {
    const tested = untested.filter((path) =>
      fields.filter((field) => pathOf(field) === path).every((field) => used.get(kind)?.has(field)),
    );
    expect(tested).toEqual([]);
  });

  test('what nobody can see is set by a case', () => {
    const set = used.get(kind)!;
    expect(Object.keys(unseen).filter((path) => ![...set].some((field) => takesIn(path, field)))).toEqual([]);
  });

  test('not-acted-on.yaml names only fields that there are', () => {
    expect(paths.filter((path) => !fields.some((field) => takesIn(path, field)))).toEqual([]);
  });
});
