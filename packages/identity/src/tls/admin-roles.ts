// Admin APIs: who may do what there. Roles are bound to SPIFFE ids; who has none cannot even connect.

import { formatSpiffeId, parseSpiffeId, type SpiffeId } from '../spiffe-id.js';

/** Each may what those before it may: read; apply and delete configuration; replace the root. */
export const ADMIN_ROLES = ['viewer', 'editor', 'admin'] as const;
export type AdminRole = (typeof ADMIN_ROLES)[number];

/** Service accounts of the root namespace that have a role everywhere. */
const BUILT_IN: Readonly<Record<string, AdminRole>> = {
  'lateen-admin': 'admin',
  'lateen-editor': 'editor',
  'lateen-viewer': 'viewer',
  // Reads how proxies are to be started.
  'lateen-supervisor': 'viewer',
};
const SYSTEM_NAMESPACE = 'istio-system';

export class AdminRoles {
  private constructor(private readonly roles: ReadonlyMap<SpiffeId, AdminRole>) {}

  /**
   * The built-in roles of a trust domain, and more.
   * @param bindings each `ROLE=SPIFFE_ID`
   * @throws Error for what is no such binding, or gives an identity a second role
   */
  static create(trustDomain: string, bindings: readonly string[] = []): AdminRoles {
    const roles = new Map<SpiffeId, AdminRole>();
    for (const [serviceAccount, role] of Object.entries(BUILT_IN))
      roles.set(formatSpiffeId({ trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount }), role);
    for (const binding of bindings) {
      const at = binding.indexOf('=');
      const role = ADMIN_ROLES.find((each) => each === binding.slice(0, Math.max(at, 0)));
      if (role === undefined)
        throw new Error(
          `${JSON.stringify(binding)}: expected ROLE=SPIFFE_ID, with a role of ${ADMIN_ROLES.join(', ')}`,
        );
      const { id } = parseSpiffeId(binding.slice(at + 1));
      if ((roles.get(id) ?? role) !== role) throw new Error(`${id} has the role ${roles.get(id)} already`);
      roles.set(id, role);
    }
    return new AdminRoles(roles);
  }

  /** Undefined where a peer has none. */
  roleOf(peer: SpiffeId): AdminRole | undefined {
    return this.roles.get(peer);
  }

  /** The rule for connections. */
  readonly mayConnect = (peer: SpiffeId): boolean => this.roles.has(peer);

  /** Why a peer may not do what needs a role; undefined where it may. */
  refusal(peer: SpiffeId, needed: AdminRole): string | undefined {
    const role = this.roleOf(peer);
    if (role !== undefined && ADMIN_ROLES.indexOf(role) >= ADMIN_ROLES.indexOf(needed)) return undefined;
    return `${peer} has the role ${role ?? 'of nobody'}, and this takes the role ${needed}`;
  }
}
