// Spec as JSON → typed spec: what Pilot does with the resources that Galley serves.
import { checkStructure } from './declare/check.js';
import { type MeshConfig, meshConfig } from './kinds/mesh-config.js';
import { isKind, specSchema } from './kinds/registry.js';
import type { Kind, SpecOf } from './object.js';
import { formatPath } from './problem.js';

/** A spec that does not have the structure of its kind. */
export class InvalidSpecError extends Error {
  override readonly name = 'InvalidSpecError';
  readonly kind: string;
  /** Each `path: what; what to do`. */
  readonly faults: readonly string[];

  constructor(kind: string, faults: readonly string[]) {
    super(`the spec of a ${kind} is not valid: ${faults.join('; ')}`);
    this.kind = kind;
    this.faults = faults;
  }
}

/** The type of what `parseSpecJson` returns. */
export type SpecOrMeshConfig<K extends Kind | 'MeshConfig'> = K extends Kind ? SpecOf<K> : MeshConfig;

/**
 * Parses a spec, or a MeshConfig, that was validated before (Galley has): structure is checked strictly, meaning is not
 * checked again. Throws `InvalidSpecError`.
 */
export function parseSpecJson<K extends Kind | 'MeshConfig'>(kind: K, json: string): SpecOrMeshConfig<K> {
  let input: unknown;
  try {
    input = JSON.parse(json);
  } catch (error) {
    throw new InvalidSpecError(kind, [`not JSON (${error instanceof Error ? error.message : String(error)})`]);
  }
  if (kind !== 'MeshConfig' && !isKind(kind)) throw new InvalidSpecError(kind, ['the kind is not known']);
  const { value, faults } = checkStructure(kind === 'MeshConfig' ? meshConfig : specSchema(kind), input);
  const errors = faults.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) {
    throw new InvalidSpecError(
      kind,
      errors.map(({ path, message }) => `${formatPath(['spec', ...path])}: ${message}`),
    );
  }
  // Without faults nothing was taken out, so the value is what the kind's schema says.
  return value as SpecOrMeshConfig<K>;
}
