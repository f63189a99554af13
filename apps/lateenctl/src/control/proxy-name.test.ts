// Tests of how a user names a proxy.
import { describe, expect, it } from 'vitest';
import { isInNamespace, namedProxies } from './proxy-name.js';

const PODS = [
  { name: 'web-abc-0', namespace: 'default', deployment: 'web' },
  { name: 'web-abc-1', namespace: 'default', deployment: 'web' },
  { name: 'api-xyz-0', namespace: 'shop', deployment: 'api' },
];
const PROXIES = ['web-abc-0.default', 'web-abc-1.default', 'spare.default'];
const names = (text: string, namespace?: string) => [...namedProxies(PROXIES, PODS, text, namespace)];

describe('proxy name', () => {
  it.each([
    ['web', undefined, ['web-abc-0.default', 'web-abc-1.default']],
    ['web.default', undefined, ['web-abc-0.default', 'web-abc-1.default']],
    ['deployment/web', 'default', ['web-abc-0.default', 'web-abc-1.default']],
    ['web-abc-1', undefined, ['web-abc-1.default']],
    ['default/web-abc-1', undefined, ['web-abc-1.default']],
    ['spare', undefined, ['spare.default']],
    ['spare.default', undefined, ['spare.default']],
  ])('%s in %s', (text, namespace, expected) => {
    expect(names(text, namespace)).toEqual(expected);
  });

  it('says which pods there are, and which is not connected', () => {
    expect(() => names('nothing')).toThrow(
      'no pod "nothing"; pods are default/spare, default/web-abc-0, default/web-abc-1, shop/api-xyz-0',
    );
    expect(() => names('web', 'shop')).toThrow('add -n default');
    expect(() => names('api')).toThrow('the sidecar of api-xyz-0.shop is not connected to pilot');
  });

  it('takes the namespace from the end', () => {
    expect(isInNamespace('a.b.shop', 'shop')).toBe(true);
    expect(isInNamespace('a.shop', 'default')).toBe(false);
    expect(isInNamespace('a.shop', undefined)).toBe(true);
  });
});
