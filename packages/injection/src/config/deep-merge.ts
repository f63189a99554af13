// Configuration: mappings merged key by key; everything else, lists too, is replaced.

export type JsonObject = Record<string, unknown>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A new value; `over` wins, null in it removes. */
export function deepMerge(base: JsonObject, over: JsonObject): JsonObject {
  const merged: JsonObject = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = merged[key];
    if (value === null) delete merged[key];
    else merged[key] = isObject(before) && isObject(value) ? deepMerge(before, value) : value;
  }
  return merged;
}
