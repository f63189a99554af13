// Roles at the admin APIs: what each may, and which bindings are none.
import { expect, it } from 'vitest';
import { formatSpiffeId } from '../spiffe-id.js';
import { AdminRoles } from './admin-roles.js';

const id = (serviceAccount: string, namespace = 'istio-system') =>
  formatSpiffeId({ trustDomain: 'cluster.local', namespace, serviceAccount });

it('lets each role do what those before it may, and nobody else connect', () => {
  const roles = AdminRoles.create('cluster.local', [`editor=${id('deployer', 'ci')}`]);
  const may = (account: string, namespace?: string) =>
    (['viewer', 'editor', 'admin'] as const).filter(
      (role) => roles.refusal(id(account, namespace), role) === undefined,
    );
  expect(may('lateen-admin')).toEqual(['viewer', 'editor', 'admin']);
  expect(may('lateen-editor')).toEqual(['viewer', 'editor']);
  expect(may('deployer', 'ci')).toEqual(['viewer', 'editor']);
  expect(may('lateen-viewer')).toEqual(['viewer']);
  expect(may('lateen-supervisor')).toEqual(['viewer']);
  for (const stranger of [id('lateen-admin', 'default'), id('reviews', 'default'), id('pilot')]) {
    expect(roles.mayConnect(stranger)).toBe(false);
    expect(roles.refusal(stranger, 'viewer')).toMatch(/has the role of nobody/);
  }
  expect(roles.refusal(id('lateen-viewer'), 'editor')).toBe(
    `${id('lateen-viewer')} has the role viewer, and this takes the role editor`,
  );
});

it.each(['admin', `owner=${id('a')}`, 'admin=spiffe://cluster.local/a', `admin=${id('lateen-viewer')}`, `=${id('a')}`])(
  'refuses the binding %s',
  (binding) => {
    expect(() => AdminRoles.create('cluster.local', [binding])).toThrow();
  },
);
