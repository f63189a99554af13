// Validation: the rules of packages/istio-config.

import { parseDocuments, parseMeshConfig, parseObject, validateObjects } from '@lateen/istio-config';
import type { ConfigRules } from './rules.js';

export const istioRules: ConfigRules = {
  parse: (files, defaultNamespace) => parseDocuments(files, { defaultNamespace, kubernetes: false }),
  parseObject: (name, object, defaultNamespace) => parseObject(name, object, { defaultNamespace, kubernetes: false }),
  checkTogether: (objects) => validateObjects(objects),
  parseMeshConfig: (file) => parseMeshConfig(file),
};
