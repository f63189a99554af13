// What a proxy of the mesh is started with, in local mode and in a pod of a cluster.

export { type BootstrapOptions, buildBootstrap, nodeId, type SidecarNode } from './proxy-bootstrap.js';
export { sidecarProcesses } from './proxy-processes.js';
