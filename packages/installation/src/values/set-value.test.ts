// Values: words of `--set`.
import { describe, expect, test } from 'vitest';
import { setValue } from './set-value.js';

function tree(...words: string[]): Record<string, unknown> {
  const root = {};
  for (const word of words) setValue(root, word);
  return root;
}

describe('a word of --set', () => {
  test.each<[string[], object]>([
    [['profile=demo'], { profile: 'demo' }],
    [['components.pilot.replicas=3'], { components: { pilot: { replicas: 3 } } }],
    [['networkPolicy=false', 'meshConfig.accessLogFile='], { networkPolicy: false, meshConfig: { accessLogFile: '' } }],
    [['a[0].b=1', 'a[1].b=2'], { a: [{ b: 1 }, { b: 2 }] }],
    [['a={x,y}', 'b={}'], { a: ['x', 'y'], b: [] }],
    [['labels.app\\.kubernetes\\.io/name=x'], { labels: { 'app.kubernetes.io/name': 'x' } }],
    [['env.A=b=c'], { env: { A: 'b=c' } }],
    [['a=null'], { a: null }],
    [['a.b=1', 'a.b=2'], { a: { b: 2 } }],
  ])('%j', (words, expected) => expect(tree(...words)).toEqual(expected));

  test.each(['1.10', '007', '1e3', '0x10', '+1'])('%s stays a text', (text) =>
    expect(tree(`tag=${text}`)).toEqual({ tag: text }),
  );

  test.each<[string[], RegExp]>([
    [['profile'], /--set profile: expected PATH=VALUE/],
    [['=x'], /expected PATH=VALUE/],
    [['a..b=1'], /not readable at "\."/],
    [['a.=1'], /ends where a name is expected/],
    [['a[x]=1'], /not readable at "\["/],
    [['[0]=1'], /not readable at "\[0\]"/],
    [['a[1]=1'], /the list has 0 items; the next is \[0\]/],
    [['a=1', 'a.b=2'], /what is before "a" has another shape|what is before "b" has another shape/],
    [['a.b=1', 'a[0]=2'], /what is before "0" has another shape/],
    [['__proto__.x=1'], /is no field/],
  ])('%j is refused', (words, message) => expect(() => tree(...words)).toThrow(message));

  test('does not reach prototypes', () => {
    expect(() => tree('a.__proto__.polluted=1')).toThrow();
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});
