// Cache: a resource as it is sent, with a version made of its bytes.

import { createHash } from 'node:crypto';
import type { Any } from '@bufbuild/protobuf/wkt';

/** A resource as an ADS server takes it. */
export interface PackedResource {
  /** Equal versions mean equal bytes. */
  readonly version: string;
  readonly any: Any;
}

const VERSION_CHARACTERS = 16;

/** Gives packed bytes their version. */
export function withVersion(any: Any): PackedResource {
  return { version: createHash('sha256').update(any.value).digest('hex').slice(0, VERSION_CHARACTERS), any };
}
