// Bootstrap: `layered_runtime`. The connection limits in it are kept; keys of Envoy's own inner workings change nothing here,
// which is said at the start; any other key is refused, since a route or a filter could depend on it.

import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import type { LayeredRuntime } from '@lateen/xds-proto/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { ConnectionLimits } from '../data-plane.js';
import type { FieldProblem } from './support/support-types.js';
import type { ProblemCollector } from './validate/field-checks.js';

const TOTAL = 'overload.global_downstream_max_connections';
const OF_LISTENER = /^envoy\.resource_limits\.listener\.(.+)\.connection_limit$/;
/** What these begin with has no counterpart here. */
const WITHOUT_EFFECT: readonly (readonly [prefix: string, why: string])[] = [
  ['re2.', 'regular expressions have limits of their own'],
  ['envoy.reloadable_features.', 'these switch between versions of Envoy’s own code'],
  ['envoy.restart_features.', 'these switch between versions of Envoy’s own code'],
  ['envoy.features.', 'these switch between versions of Envoy’s own code'],
  ['envoy.deprecated_features', 'deprecated fields are refused by name'],
  ['overload.premature_reset', 'this is for HTTP/2'],
];

export interface RuntimeSettings {
  readonly limits: ConnectionLimits;
  /** Keys that are accepted and change nothing, with the reason. */
  readonly warnings: readonly FieldProblem[];
}

/** Reads the static layers; a later layer overrides an earlier one. */
export function readRuntime(runtime: LayeredRuntime | undefined, out: ProblemCollector): RuntimeSettings {
  let total = Number.POSITIVE_INFINITY;
  const ofListener = new Map<string, number>();
  const warnings: FieldProblem[] = [];
  (runtime?.layers ?? []).forEach(({ layerSpecifier }, index) => {
    if (layerSpecifier.case !== 'staticLayer') return;
    const at = `layered_runtime.layers[${index}].static_layer`;
    for (const { key, path, value } of flatten(layerSpecifier.value, '', at)) {
      const listener = OF_LISTENER.exec(key)?.[1];
      if (key === TOTAL || listener !== undefined) {
        const limit = Number(value);
        if (!Number.isInteger(limit) || limit < 0) out.add(path, 'a number of connections is expected');
        else if (listener === undefined) total = limit;
        else ofListener.set(listener, limit);
        continue;
      }
      const why = WITHOUT_EFFECT.find(([prefix]) => key.startsWith(prefix))?.[1];
      if (why === undefined)
        out.add(path, `runtime key ${key} is not supported; set what it stands for where it is used`);
      else warnings.push({ path, message: `runtime key ${key} has no effect: ${why}` });
    }
  });
  return { limits: { total, ofListener }, warnings };
}

/** `{a: {b: 1}}` and `{"a.b": 1}` mean the same. */
function flatten(value: JsonObject, prefix: string, path: string): { key: string; path: string; value: JsonValue }[] {
  return Object.entries(value).flatMap(([name, item]) => {
    const key = `${prefix}${name}`;
    const at = /^[A-Za-z0-9_]+$/.test(name) ? `${path}.${name}` : `${path}["${name}"]`;
    return typeof item === 'object' && item !== null && !Array.isArray(item)
      ? flatten(item, `${key}.`, at)
      : [{ key, path: at, value: item }];
  });
}
