// Mesh: finds the running mesh of a state directory.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AdminRole, IDENTITY_FILE, identityFromPem, StaticIdentity } from '@lateen/identity/plain';
import { UnreachableError } from '../output/cli-error.js';
import { type StateLayout, stateLayout } from '../state/state-layout.js';
import type { MeshFile } from '../supervisor/mesh-file.js';
import type { ControlPlane } from './control-plane.js';

export interface Mesh extends MeshFile {
  readonly layout: StateLayout;
}

/** Reads mesh.json. @throws UnreachableError where no mesh runs */
export function openMesh(stateDir: string): Mesh {
  const layout = stateLayout(stateDir);
  let text: string;
  try {
    text = readFileSync(layout.meshFile, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new UnreachableError(
      `no mesh runs in ${layout.root}; start one with \`lateenctl local up -f FILE\`, or name its directory with ` +
        '--state-dir (or LATEEN_STATE_DIR)',
    );
  }
  return { ...(JSON.parse(text) as MeshFile), layout };
}

/** The control plane of a mesh on this machine. */
export function localControlPlane(mesh: Mesh, role: AdminRole = 'admin'): ControlPlane {
  return {
    endpoint: (service) => ({ address: mesh[service].address, port: mesh[service].adminPort }),
    identity: () => roleIdentity(mesh, role),
    advice: (service) => `see \`lateenctl local status\` and \`lateenctl local logs ${service}\``,
  };
}

/** The certificate of a role. @throws UnreachableError where Citadel has not signed it yet */
function roleIdentity(mesh: Mesh, role: AdminRole): StaticIdentity {
  const directory = mesh.layout.roleIdentity(role);
  const read = (name: string) => readFileSync(join(directory, name), 'utf8');
  try {
    return new StaticIdentity(
      identityFromPem({
        keyPem: read(IDENTITY_FILE.key),
        certChainPem: read(IDENTITY_FILE.certChain),
        rootsPem: read(IDENTITY_FILE.roots),
      }),
    );
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'not there yet' : (error as Error).message;
    throw new UnreachableError(
      `the client certificate in ${directory} cannot be used (${reason}); ` +
        'see `lateenctl local status`: citadel has to be up once',
    );
  }
}
