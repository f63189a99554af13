// Tests of how a user names a pod.
import { describe, expect, it } from 'vitest';
import { findPods, unknownPodMessage } from './pod-name.js';

const PODS = [
  { name: 'web-abc-0', namespace: 'default', deployment: 'web' },
  { name: 'web-abc-1', namespace: 'default', deployment: 'web' },
  { name: 'web-xyz-0', namespace: 'shop', deployment: 'web' },
];
const names = (text: string, namespace?: string) =>
  findPods(PODS, text, namespace).map((pod) => `${pod.namespace}/${pod.name}`);

describe('pod name', () => {
  it.each([
    ['web-abc-0', undefined, ['default/web-abc-0']],
    ['web-abc-0.default', undefined, ['default/web-abc-0']],
    ['default/web-abc-0', undefined, ['default/web-abc-0']],
    ['web-abc-0', 'shop', []],
    ['deployment/web', 'shop', ['shop/web-xyz-0']],
    ['deploy/web.shop', undefined, ['shop/web-xyz-0']],
    ['web', 'default', ['default/web-abc-0', 'default/web-abc-1']],
    ['nothing', undefined, []],
  ])('%s in %s', (text, namespace, expected) => {
    expect(names(text, namespace)).toEqual(expected);
  });

  it('says what there is, and where it is when only the namespace is wrong', () => {
    expect(unknownPodMessage(PODS, 'nothing', undefined)).toContain('default/web-abc-0');
    expect(unknownPodMessage(PODS, 'web-xyz-0', 'default')).toContain('add -n shop');
  });
});
