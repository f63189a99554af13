// Supervisor: mesh.json, what the command line reads first to find everything else.

import type { StateLayout } from '../state/state-layout.js';
import type { MeshAddresses } from './mesh-addresses.js';
import type { IngressPorts } from './network/ingress-port.js';

/** Content of mesh.json. */
export interface MeshFile {
  readonly pid: number;
  /** For example "127.23.0.0/16". */
  readonly block: string;
  readonly trustDomain: string;
  readonly ingress: { readonly address: string; readonly port: number; readonly httpsPort?: number | undefined };
  readonly controlSocket: string;
  readonly citadel: MeshAddresses['citadel'];
  readonly galley: MeshAddresses['galley'];
  readonly pilot: MeshAddresses['pilot'];
}

export interface MeshFileInput {
  readonly layout: StateLayout;
  readonly mesh: MeshAddresses;
  readonly trustDomain: string;
  readonly ingressPorts: IngressPorts;
}

/** The file's text. */
export function meshFileContent(input: MeshFileInput): string {
  const { block, citadel, galley, pilot } = input.mesh;
  const content: MeshFile = {
    pid: process.pid,
    block: `127.${block}.0.0/16`,
    trustDomain: input.trustDomain,
    ingress: { address: '127.0.0.1', port: input.ingressPorts.http, httpsPort: input.ingressPorts.https },
    controlSocket: input.layout.controlSocket,
    citadel,
    galley,
    pilot,
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}
