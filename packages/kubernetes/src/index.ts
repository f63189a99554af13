// The Kubernetes API: who we are there (access), what it holds (objects), calls (client), what changes (informer), who leads (lease).
export {
  type ApiRequest,
  type ClusterAccess,
  ClusterAccessError,
  type ClusterAccessOptions,
  loadClusterAccess,
} from './access/cluster-access.js';
export { ApiError, isAlreadyExists, isConflict, isGone, isNotFound } from './api-error.js';
export { type ApiResource, KubeClient, type ListOptions, type Patch, type WriteOptions } from './client.js';
export { Informer, type InformerChange, type InformerOptions } from './informer/informer.js';
export { LeaseElection, type LeaseElectionOptions } from './lease-election.js';
export * from './objects.js';
export { objectRef, type ResourceType, resourcePath, resourceTypes } from './resource-type.js';
