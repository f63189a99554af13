// Merge: a part of a pod over a pod, as Kubernetes' strategic merge does: mappings key by key, lists by the merge key of
// their field (https://kubernetes.io/docs/reference/generated/kubernetes-api/, "patch merge key"), null removes, and the
// directive `$patch` (delete, replace) is followed.

import { isObject, type JsonObject } from '../config/deep-merge.js';

/** What the entries of a list are known by, by the name of their field; lists of other fields are replaced. */
const MERGE_KEYS: Readonly<Record<string, readonly string[]>> = {
  containers: ['name'],
  initContainers: ['name'],
  ephemeralContainers: ['name'],
  volumes: ['name'],
  env: ['name'],
  imagePullSecrets: ['name'],
  resourceClaims: ['name'],
  schedulingGates: ['name'],
  sysctls: ['name'],
  volumeMounts: ['mountPath'],
  volumeDevices: ['devicePath'],
  ports: ['containerPort', 'protocol'],
  hostAliases: ['ip'],
  topologySpreadConstraints: ['topologyKey', 'whenUnsatisfiable'],
  readinessGates: ['conditionType'],
  ownerReferences: ['uid'],
};

const DEFAULTS: Readonly<Record<string, string>> = { protocol: 'TCP' };

const HANDLERS = ['exec', 'httpGet', 'tcpSocket', 'grpc', 'sleep'] as const;

/** Fields that stand for one another: the value of a variable is text or a reference, a probe asks in one way. */
const EITHER: Readonly<Record<string, readonly string[]>> = {
  env: ['value', 'valueFrom'],
  livenessProbe: HANDLERS,
  readinessProbe: HANDLERS,
  startupProbe: HANDLERS,
  postStart: HANDLERS,
  preStop: HANDLERS,
};

/** Lists whose entries hold one of many sources: an entry takes the place of that of its name as a whole. */
const WHOLE_ENTRIES = new Set(['volumes']);

/** A new value; neither argument is changed. */
export function strategicMerge(base: JsonObject, over: JsonObject): JsonObject {
  if (over.$patch === 'replace') return withoutDirective(over);
  const merged: JsonObject = { ...base };
  for (const [key, value] of Object.entries(over)) {
    if (key === '$patch') continue;
    if (value === null) delete merged[key];
    else if (merged[key] === undefined && isEmptyList(value)) continue;
    else merged[key] = mergeField(key, merged[key], value);
  }
  return merged;
}

/** A list without entries adds nothing. */
function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function mergeField(key: string, before: unknown, value: unknown): unknown {
  if (isObject(value)) {
    return strategicMerge(withoutOther(isObject(before) ? before : {}, value, EITHER[key] ?? []), value);
  }
  if (!Array.isArray(value)) return value;
  const keys = MERGE_KEYS[key];
  if (keys === undefined || !value.every(isObject)) return value;
  const list = Array.isArray(before) ? before.filter(isObject) : [];
  return mergeList(list, value, keys, (entry, over) =>
    WHOLE_ENTRIES.has(key) ? {} : withoutOther(entry, over, EITHER[key] ?? []),
  );
}

/** Entries that are there keep their place; new ones go to the end. */
function mergeList(
  base: readonly JsonObject[],
  over: readonly JsonObject[],
  keys: readonly string[],
  kept: (before: JsonObject, over: JsonObject) => JsonObject,
): JsonObject[] {
  if (over.some(({ $patch }) => $patch === 'replace')) {
    return mergeList(
      [],
      over.filter(({ $patch }) => $patch !== 'replace'),
      keys,
      kept,
    );
  }
  const idOf = (entry: JsonObject) => JSON.stringify(keys.map((key) => entry[key] ?? DEFAULTS[key] ?? null));
  const merged = new Map(base.map((entry) => [idOf(entry), entry]));
  for (const entry of over) {
    const id = idOf(entry);
    if (entry.$patch === 'delete') merged.delete(id);
    else merged.set(id, strategicMerge(kept(merged.get(id) ?? {}, entry), entry));
  }
  return [...merged.values()];
}

function withoutOther(before: JsonObject, entry: JsonObject, either: readonly string[]): JsonObject {
  const given = either.filter((field) => entry[field] !== undefined);
  if (given.length === 0) return before;
  return Object.fromEntries(Object.entries(before).filter(([key]) => !either.includes(key) || given.includes(key)));
}

function withoutDirective({ $patch: _, ...rest }: JsonObject): JsonObject {
  return rest;
}
