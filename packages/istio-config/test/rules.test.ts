// Rules: each file of `rules/` pins one rule of Istio's validation: which line and path is at fault, and in which words.
import { describe, expect, test } from 'vitest';
import { formatProblem, ISTIO_KINDS, type Problem, parseDocuments, parseMeshConfig } from '../src/index.js';
import { type ExpectedProblem, type RuleCase, readRuleCases } from './rule-case.js';

/** What Lateen does not act on yet is no rule of Istio; `cases/` pins it. */
const OF_LATEEN = ['unsupported', 'not-acted-on'];

function problemsOf({ kind, content }: RuleCase): readonly Problem[] {
  const file = { name: 'in.yaml', content };
  const { problems } =
    kind === 'MeshConfig' ? parseMeshConfig(file) : parseDocuments([file], { defaultNamespace: 'default' });
  return problems.filter(({ code }) => !OF_LATEEN.includes(code));
}

function isExpected({ line, severity, path, words }: ExpectedProblem, problem: Problem): boolean {
  const atPlace = problem.line === line && problem.path === path;
  return atPlace && problem.severity === severity && problem.message.includes(words);
}

const cases = readRuleCases();

describe.each([...new Set(cases.map(({ kind }) => kind))])('%s', (kind) => {
  const own = cases.filter((one) => one.kind === kind);

  test.each(own.map((one) => [`${one.verdict}/${one.name}: ${one.rule}`, one] as const))('%s', (_, one) => {
    const problems = problemsOf(one);
    const unexpected = problems.filter((problem) => !one.expected.some((each) => isExpected(each, problem)));
    const missing = one.expected.filter((each) => !problems.some((problem) => isExpected(each, problem)));
    expect({ unexpected: unexpected.map(formatProblem), missing }).toEqual({ unexpected: [], missing: [] });
    const severities = new Set(one.expected.map(({ severity }) => severity));
    expect({
      good: severities.size === 0,
      warn: !severities.has('error'),
      bad: severities.has('error'),
    }).toHaveProperty(one.verdict, true);
    expect(one.verdict === 'warn' && severities.size === 0, 'a warning is expected').toBe(false);
  });

  test('documents are of the kind of their folder', () => {
    if (kind === 'MeshConfig') return;
    for (const { content, name } of own) expect(content, name).toMatch(new RegExp(`^ *"?kind"?: "?${kind}\\b`, 'm'));
  });

  test('each rule names its source', () => {
    const pattern =
      /^(https:\/\/(preliminary\.)?istio\.io\/|https:\/\/kubernetes\.io\/|istio\.io\/api|istio pkg\/config\/validation|RFC |https:\/\/www\.envoyproxy\.io\/|docs\/)/;
    expect(own.filter(({ from }) => !pattern.test(from)).map(({ name, from }) => `${name}: ${from}`)).toEqual([]);
  });
});

test('every kind of Istio has documents that are accepted and documents that are refused', () => {
  const has = (kind: string, refused: boolean) =>
    cases.some((one) => one.kind === kind && (one.verdict === 'bad') === refused);
  expect(ISTIO_KINDS.filter((kind) => !has(kind, true) || !has(kind, false))).toEqual([]);
});
