// Configuration: what is taken, and that everything wrong is refused when it is read, with its place.
import { describe, expect, it } from 'vitest';
import { InjectionError } from '../problems.js';
import { loadInjectionConfig } from './load-config.js';

function problemsOf(config: string | undefined, values?: string): readonly string[] {
  try {
    loadInjectionConfig({ config, values });
  } catch (error) {
    if (error instanceof InjectionError) return error.problems;
    throw error;
  }
  return [];
}

const template = (text: string) => `templates:\n  sidecar: ${text}\n`;

describe('loadInjectionConfig', () => {
  it('takes the defaults, with values over them', () => {
    const { values, policy, templates } = loadInjectionConfig({
      values: 'global: { proxy: { logLevel: debug }, mine: 1 }',
    });
    expect(policy).toBe('enabled');
    expect(Object.keys(templates)).toEqual(['sidecar', 'gateway']);
    expect(values.global.proxy).toMatchObject({ logLevel: 'debug', image: 'sidecar' });
    expect(values.global.mine).toBe(1);
  });

  it('takes a template as text of YAML too', () => {
    const config = 'templates:\n  sidecar: |\n    metadata:\n      labels: { a: { $eval: workload.name } }\n';
    expect(problemsOf(config)).toEqual([]);
  });

  it.each<[string, string | undefined, string | undefined, RegExp]>([
    ['YAML that is none', 'policy: [', undefined, /^config: .*line 1/],
    ['an unknown field', 'polcy: enabled\ntemplates: {}\ndefaultTemplates: []', undefined, /did you mean policy/],
    ['no templates', 'policy: enabled', undefined, /config\.templates/],
    [
      'a default that is not there',
      'templates: { other: {} }',
      undefined,
      /defaultTemplates: there is no template sidecar/,
    ],
    ['an alias of nothing', `${template('{}')}aliases: { a: [b] }`, undefined, /aliases\.a: there is no template b/],
    [
      'a wrong type among the values',
      undefined,
      'global: { proxy: { logLevel: 3 } }',
      /values\.global\.proxy\.logLevel/,
    ],
    ['a Go template', template('"{{ .Values.x }}"'), undefined, /Go template/],
    [
      'an unknown name in an expression',
      template('{ metadata: { labels: { a: { $eval: nothing.at.all } } } }'),
      undefined,
      /template sidecar: .*nothing/,
    ],
    ['a syntax error in an expression', template('{ spec: { x: { $eval: "1 +" } } }'), undefined, /template sidecar/],
    ['an unknown operator', template('{ spec: { $unknown: 1 } }'), undefined, /template sidecar/],
    [
      'a container without a name',
      template('{ spec: { containers: [{ image: x }] } }'),
      undefined,
      /containers\[0\] needs a name/,
    ],
    ['a label that is no text', template('{ metadata: { labels: { a: 1 } } }'), undefined, /labels\.a must be text/],
    ['a field that no pod has', template('{ status: {} }'), undefined, /no field status/],
    ['a clock', template('{ metadata: { labels: { a: { $fromNow: "1 day" } } } }'), undefined, /fromNow/],
  ])('refuses %s', (_name, config, values, expected) => {
    expect(problemsOf(config, values).join('\n')).toMatch(expected);
  });

  it('finds what is wrong only in one form of the proxy', () => {
    const config = template('{ spec: { x: { $if: "!(proxy.native)", then: { $eval: nothing } } } }');
    expect(problemsOf(config)).toEqual([expect.stringContaining('template sidecar')]);
  });
});
