// Supervisor: where the control plane of a mesh listens, from its block.

import { addressAt, COMPONENT_OFFSET } from './network/address-book.js';

export interface MeshAddresses {
  /** B of 127.B.0.0/16. */
  readonly block: number;
  readonly citadel: { address: string; grpcPort: number; adminPort: number; monitoringPort: number };
  readonly galley: { address: string; xdsPort: number; adminPort: number; monitoringPort: number };
  readonly pilot: {
    address: string;
    plaintextPort: number;
    xdsPort: number;
    adminPort: number;
    monitoringPort: number;
  };
}

const ADMIN_PORT = 15016;
const MONITORING_PORT = 15014;

/** The well-known ports at the block's fixed addresses. */
export function meshAddresses(block: number): MeshAddresses {
  const both = { adminPort: ADMIN_PORT, monitoringPort: MONITORING_PORT };
  return {
    block,
    citadel: { address: addressAt(block, COMPONENT_OFFSET.citadel), grpcPort: 8060, ...both },
    galley: { address: addressAt(block, COMPONENT_OFFSET.galley), xdsPort: 9901, ...both },
    pilot: { address: addressAt(block, COMPONENT_OFFSET.pilot), plaintextPort: 15010, xdsPort: 15012, ...both },
  };
}
