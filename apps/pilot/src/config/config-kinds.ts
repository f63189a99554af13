// Configuration: the kinds that Pilot takes from Galley, as type URLs "GROUP/KIND".

import { describeKind, ISTIO_KINDS } from '@lateen/istio-config';

/** MeshConfig is one resource; all others are Istio objects. */
export const MESH_CONFIG_TYPE_URL = 'lateen.io/MeshConfig';

/** Every kind, MeshConfig first: it decides how the others are read. */
export const CONFIG_TYPE_URLS: readonly string[] = [
  MESH_CONFIG_TYPE_URL,
  ...ISTIO_KINDS.map((kind) => `${describeKind(kind).group}/${kind}`),
];
