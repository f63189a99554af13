// Documents: files, namespaces, limits, positions.
import { describe, expect, test } from 'vitest';
import { isMeshConfig, locateField, parseDocuments, parseMeshConfig } from './parse.js';
import { compareProblems, formatPath, formatProblem } from './problem.js';
import { YAML_LIMITS } from './yaml/read.js';

const options = { defaultNamespace: 'shop' };
const parse = (content: string) => parseDocuments([{ name: 'in.yaml', content }], options);
const codes = (content: string) => parse(content).problems.map(({ code }) => code);

const policy =
  'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\nspec: {mtls: {mode: STRICT}}\n';

test('the default namespace is for documents that name none', () => {
  const { objects } = parse(`${policy}---\n${policy.replace('name: a', 'name: a, namespace: prod')}`);
  expect(objects.map(({ metadata }) => metadata.namespace)).toEqual(['shop', 'prod']);
});

test('several files keep their names and order', () => {
  const bad = { name: 'b.yaml', content: 'x: 1' };
  const { objects, problems } = parseDocuments([bad, { name: 'a.yaml', content: policy }], options);
  expect(objects.map(({ source }) => source)).toEqual([{ file: 'a.yaml', line: 1, column: 1 }]);
  expect(new Set(problems.map(({ file }) => file))).toEqual(new Set(['b.yaml']));
});

test('a document with an error is no object; its neighbours are', () => {
  const { objects } = parse(`${policy}---\n${policy.replace('STRICT', 'X')}---\n${policy}`);
  expect(objects.map(({ source }) => source.line)).toEqual([1, 11]);
});

test('Kubernetes documents are refused where they are not taken', () => {
  const content = 'apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n';
  const { objects, problems } = parseDocuments([{ name: 'in.yaml', content }], { ...options, kubernetes: false });
  expect(objects).toEqual([]);
  expect(problems.map(formatProblem)).toEqual([
    'in.yaml:2:7 Namespace/a kind: Namespace is not mesh configuration and is not stored here; start it with `lateenctl local up -f`, or apply it to the cluster',
  ]);
});

test('fields are located after parsing', () => {
  const [object] = parse(`# comment\n${policy}`).objects;
  expect(locateField(object!, ['spec', 'mtls', 'mode'])).toEqual({ line: 5, column: 21 });
  expect(locateField(object!, ['spec', 'mtls', 'mode'], 'key')).toEqual({ line: 5, column: 15 });
  expect(locateField(object!, ['spec', 'nothing', 'here'])).toEqual({ line: 5, column: 1 });
});

test('an object that was not parsed has its own position', () => {
  const [object] = parse(policy).objects;
  expect(locateField({ ...object! }, ['spec', 'mtls'])).toEqual({ line: 1, column: 1 });
});

describe('hostile texts', () => {
  test('an alias bomb', () => {
    const levels = [...'bcdefghijk'].map((name, i) => `${name}: &${name} [${Array(10).fill(`*${'abcdefghij'[i]}`)}]`);
    expect(codes(['a: &a [x,x,x,x,x,x,x,x,x,x]', ...levels].join('\n'))).toEqual(['yaml-alias']);
  });

  test('aliases that multiply values', () => {
    const text = `a: &a [${Array(1000).fill('x')}]\nb: [${Array(300).fill('*a')}]`;
    expect(codes(text)).toEqual(['yaml-size']);
  });

  test('an alias of itself', () => {
    expect(codes('a: &a {b: *a}')).toEqual(['yaml-depth']);
  });

  test('deep nesting', () => {
    expect(codes(`${'['.repeat(200)}${']'.repeat(200)}`)).toEqual(['yaml-depth']);
    expect(codes('['.repeat(100_000))).toContain('yaml-depth');
  });

  test('a long document', () => {
    expect(codes(`a: ${'x'.repeat(YAML_LIMITS.maxDocumentLength)}`)).toEqual(['yaml-size']);
  });

  test.each([`${policy}__proto__: {x: 1}\n`, policy.replace('name: a', 'name: a, annotations: {__proto__: x}')])(
    'a prototype',
    (text) => {
      const { objects, problems } = parse(text);
      expect(objects).toEqual([]);
      expect(problems.map(formatProblem)).toEqual([expect.stringContaining('the key __proto__ cannot be used')]);
    },
  );
});

test('a mesh file holds one document', () => {
  expect(
    parseMeshConfig({ name: 'mesh.yaml', content: 'trustDomain: a\n---\ntrustDomain: b\n' }).config,
  ).toBeUndefined();
});

test('paths and problems are written for people', () => {
  expect(formatPath(['spec', 'http', 0, 'match', 1, 'headers', 'end-user', 'x.y'])).toBe(
    'spec.http[0].match[1].headers.end-user["x.y"]',
  );
  const problem = {
    file: 'f',
    line: 0,
    column: 0,
    kind: '',
    namespace: '',
    name: '',
    path: '',
    severity: 'warning',
    code: 'c',
    message: 'what; what to do',
  } as const;
  expect(formatProblem(problem)).toBe('f: warning: what; what to do');
  expect(compareProblems(problem, { ...problem, line: 1 })).toBeLessThan(0);
});

test.each([
  ['a mesh file', 'accessLogFile: /dev/stdout', true],
  ['a mesh file with a mistake beside', 'trustDomain: x\nacessLogFile: y', true],
  ['a resource', policy, false],
  ['a resource without a kind, whose field MeshConfig has', 'metadata: {name: a}\nrootNamespace: x', false],
  ['something else', '{"name": "x", "version": "1"}', false],
  ['several documents', 'trustDomain: x\n---\ntrustDomain: y', false],
  ['a list', '- trustDomain: x', false],
  ['nothing', '# only a comment', false],
  ['no YAML', 'a: [', false],
])('a mesh file is told from %s', (_, content, expected) => {
  expect(isMeshConfig(content)).toBe(expected);
});
