// Wires the data path in the order in which bytes meet it; read this first.

import type { DataPlane, DataPlaneOptions } from './data-plane.js';

/** Creates the data path: loads the WASM core and waits for a first `apply`. */
export type CreateDataPlane = (options: DataPlaneOptions) => Promise<DataPlane>;
