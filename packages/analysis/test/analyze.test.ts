// Analysis: a mesh that is broken on purpose for each finding, and no finding where nothing is wrong.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ALL_CODES, analyze, type Finding, formatFinding, type RawObject } from '../src/index.js';
import { readFiles } from '../src/read-files.js';

const CASES = join(import.meta.dirname, 'cases');
const REPOSITORY = join(import.meta.dirname, '..', '..', '..');

interface Case {
  readonly name: string;
  readonly content: string;
  /** `CODE KIND/NAMESPACE/NAME PATH`; a path of `*`: any. */
  readonly expected: readonly string[];
}

const cases = readdirSync(CASES).map((name): Case => {
  const content = readFileSync(join(CASES, name), 'utf8');
  return { name, content, expected: [...content.matchAll(/^# expect: (.*)$/gm)].map(([, line]) => line!) };
});

const findingsIn = (files: readonly { name: string; content: string }[]) => analyze(readFiles(files));

function shown({ code, kind, namespace, resource, path }: Finding): string {
  return `${code} ${kind}/${namespace}/${resource} ${path}`;
}

describe('what is broken on purpose is found, where it is, and nothing else', () => {
  test.each(cases)('$name', ({ name, content, expected }) => {
    const found = findingsIn([{ name, content }]);
    const anyPath = expected.filter((line) => line.endsWith(' *')).map((line) => line.slice(0, -1));
    const lines = found.map(shown).map((line) => {
      const start = anyPath.find((each) => line.startsWith(each));
      return start === undefined ? line : `${start}*`;
    });
    expect(lines.sort()).toEqual([...expected].sort());
    for (const finding of found) {
      expect(finding.line).toBeGreaterThan(0);
      // What is wrong, and what to do.
      expect(finding.message.length).toBeGreaterThan(20);
      expect(formatFinding(finding)).toContain(`${name}:${finding.line}`);
    }
  });
});

test('every code has a case', () => {
  const seen = new Set(cases.flatMap(({ expected }) => expected.map((line) => line.split(' ')[0]!)));
  // Only a cluster has it: see below.
  expect(ALL_CODES.filter((code) => !seen.has(code))).toEqual(['IST0171']);
});

test.each([
  ['Bookinfo', ['examples/bookinfo/bookinfo.yaml', 'examples/bookinfo/reviews-v3.yaml']],
  ['Bookinfo and its routes with the handbook', ['examples/bookinfo', 'examples/handbook']],
  ['the handbook alone', ['examples/handbook']],
])('nothing is wrong with %s', (_what, places) => {
  const files = places.flatMap((place) => {
    const path = join(REPOSITORY, place);
    const names = place.endsWith('.yaml')
      ? [path]
      : readdirSync(path)
          .filter((name) => name.endsWith('.yaml'))
          .map((name) => join(path, name));
    return names.map((name) => ({ name, content: readFileSync(name, 'utf8') }));
  });
  expect(findingsIn(files).map(formatFinding)).toEqual([]);
});

describe('what files cannot say', () => {
  const findings = (raw: Partial<RawObject>) =>
    analyze({
      objects: [],
      raw: [{ ...raw, raw: true, source: { file: 'cluster', line: 0, column: 0 } } as RawObject],
      problems: [],
    }).map(shown);

  test('a condition of a resource that the control plane has set to False', () => {
    const metadata = { name: 'reviews', namespace: 'default' };
    const conditions = [{ type: 'Reconciled', status: 'False', reason: 'Refused', message: 'two of three proxies' }];
    const object = { apiVersion: 'networking.istio.io/v1', kind: 'VirtualService', metadata, status: { conditions } };
    expect(findings(object)).toEqual(['IST0171 VirtualService/default/reviews status.conditions']);
    expect(findings({ ...object, status: { conditions: [{ ...conditions[0], status: 'True' }] } })).toEqual([]);
  });
});
