// Distribution: what people read where not every proxy has taken a change.

import { expect, it } from 'vitest';
import { distributionPath, wantedOf } from './await-distribution.js';
import { incompleteText } from './incomplete-text.js';

it('names the proxies with what they refused, or have not answered', () => {
  const text = incompleteText(
    {
      complete: false,
      proxies: [
        { proxyId: 'a.default', state: 'taken' },
        { proxyId: 'b.default', state: 'refused', reasons: [{ type: 'LDS', reason: 'x: no such filter' }] },
        { proxyId: 'c.default', state: 'pending', pending: ['CDS', 'RDS'] },
        { proxyId: 'd.default', state: 'pending', pending: [] },
        { proxyId: 'e.default', state: 'withheld', reasons: [{ type: '', reason: 'no cluster z' }] },
      ],
    },
    1500,
  );
  expect(text.split('\n')).toEqual([
    'not in effect at 4 of 5 proxies:',
    '  b.default refused LDS: x: no such filter',
    '  c.default has not answered within 1.5 s (CDS, RDS)',
    '  d.default has not answered within 1.5 s',
    '  e.default was not sent it: no cluster z',
  ]);
});

it('says what Pilot waits for where no proxy is behind', () => {
  expect(incompleteText({ complete: false, waitingFor: 'Gateway of version 4 from galley', proxies: [] }, 2000)).toBe(
    'not in effect within 2 s: pilot waits for Gateway of version 4 from galley',
  );
});

it('asks for the newest version of each kind, and for all that Pilot has where Kubernetes objects changed', () => {
  const change = (kind: string, name: string, action: string, resourceVersion?: string) => ({
    kind,
    namespace: 'default',
    name,
    action,
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  });
  const wanted = wantedOf([
    change('VirtualService', 'a', 'configured', '9'),
    change('VirtualService', 'b', 'unchanged', '10'),
    change('Gateway', 'g', 'deleted', '12'),
    change('Sidecar', 's', 'not found', ''),
  ]);
  expect(decodeURIComponent(distributionPath(wanted, 500))).toBe(
    '/debug/distribution?timeoutMs=500&config=networking.istio.io/VirtualService@10&config=networking.istio.io/Gateway@12',
  );
  const withPods = wantedOf([change('Deployment', 'web', 'created'), change('Gateway', 'g', 'created', '3')]);
  expect(withPods.objects).toEqual([{ kind: 'Deployment', namespace: 'default', name: 'web' }]);
  expect(distributionPath(withPods, 0)).toContain('present=true');
});
