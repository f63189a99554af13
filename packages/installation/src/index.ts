// Installation in a cluster, in reading order: values → manifests → files.

export { ADMIN_ACCOUNTS } from './components/citadel.js';
export { addressOf } from './components/control-plane.js';
export { injectorOf, revisionTag, TAG_LABEL } from './components/webhooks.js';
export { type DeploymentFile, deploymentFiles } from './deployment-files.js';
export { jsonPatch, type PatchOperation } from './json-patch.js';
export { buildManifests, COMPONENTS, type Component, type ComponentName, objectName } from './manifests.js';
export {
  COMPONENT_LABEL,
  DEFAULT_REVISION,
  type KubernetesObject,
  PART_OF,
  REVISION_LABEL,
  revisioned,
  SYSTEM_NAMESPACE,
} from './objects.js';
export { type InstallationValues, PROFILE_VALUES } from './values/profiles.js';
export { type ResolvedValues, resolveValues, type ValuesInput, type WholeValues } from './values/resolve-values.js';
export { PROFILES, type Profile } from './values/schema.js';
