// Envelope: what every document has around its spec: apiVersion, kind, metadata.
import { checkStructure, type Loose } from './declare/check.js';
import type { Fault } from './declare/fault.js';
import { labelNameFault } from './declare/formats.js';
import { labelName, objectName } from './declare/kubernetes-names.js';
import { labels } from './declare/labels.js';
import { map, message, opaque, required } from './declare/message.js';
import { text } from './declare/scalars.js';
import { nearestWord } from './declare/suggest.js';
import { describeKind, ISTIO_KINDS, isKind, KUBERNETES_KINDS } from './kinds/registry.js';
import { SECRET_FIELDS } from './kubernetes/secret.js';
import type { Kind, ObjectMetadata } from './object.js';
import { refusedKind } from './refused-kinds.js';

/** The fields of `metadata`. */
export const metadataSchema = message('ObjectMeta', {
  name: required(text('Name, unique in the namespace for the kind.', { format: objectName })),
  namespace: text('Namespace.', { format: labelName }),
  labels: labels('Labels.'),
  annotations: map(text(''), 'Annotations.', labelNameFault),
  creationTimestamp: text('Set by the store.'),
  resourceVersion: text('Set by the store.'),
  generateName: opaque('Not used.'),
  uid: opaque('Set by the store.'),
  generation: opaque('Set by the store.'),
  deletionTimestamp: opaque('Set by the store.'),
  deletionGracePeriodSeconds: opaque('Set by the store.'),
  ownerReferences: opaque('Not used.'),
  finalizers: opaque('Not used.'),
  managedFields: opaque('Set by the store.'),
  selfLink: opaque('Set by the store.'),
});

/** What a document is, as far as it can be told. */
export interface Identity {
  /** As written; '' where it cannot be told. */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** A document's outside, checked. `kind` is undefined where the document cannot be checked further. */
export interface Envelope {
  readonly identity: Identity;
  readonly kind: Kind | undefined;
  readonly apiVersion: string;
  readonly metadata: ObjectMetadata;
  readonly faults: readonly Fault[];
}

const TOP_LEVEL: readonly string[] = ['apiVersion', 'kind', 'metadata', 'spec', 'status'];
const ALSO_TOP_LEVEL: Readonly<Partial<Record<Kind, readonly string[]>>> = {
  ServiceAccount: ['secrets', 'imagePullSecrets', 'automountServiceAccountToken'],
  Secret: SECRET_FIELDS,
};

/** Kinds whose name is a DNS label, without dots: Istio's Gateway, and what Kubernetes makes DNS names of. */
const NAMED_BY_LABEL: readonly string[] = ['Gateway', 'Namespace', 'Service'];

/** Istio tries policies out with it, and refuses it anywhere else. */
const DRY_RUN = 'istio.io/dry-run';

/** As Go reads a truth value. */
const TRUTH_VALUE = /^(?:1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/;

function checkDryRun(value: string | undefined, kind: string, faults: Fault[]): void {
  if (value === undefined) return;
  const path = ['metadata', 'annotations', DRY_RUN];
  if (kind !== 'AuthorizationPolicy') {
    const message = `the annotation ${DRY_RUN} is for an AuthorizationPolicy only; remove it`;
    faults.push({ path, part: 'key', severity: 'error', code: 'one-of', message });
  } else if (!TRUTH_VALUE.test(value)) {
    const message = `\`${value}\` is neither true nor false, so the policy is enforced; write "true" to try it only`;
    faults.push({ path, part: 'value', severity: 'warning', code: 'format', message });
  }
}

/** Checks everything of a document but its spec. */
export function checkEnvelope(document: unknown, options: { defaultNamespace: string; kubernetes: boolean }): Envelope {
  const faults: Fault[] = [];
  const error = (path: Fault['path'], code: string, text: string, part: Fault['part'] = 'value') =>
    faults.push({ path, part, severity: 'error', code, message: text });

  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    error([], 'type', 'a document must be a mapping with apiVersion, kind, metadata and spec; write one');
    return { ...nobody(''), faults };
  }
  const fields = document as Readonly<Record<string, unknown>>;
  const written = typeof fields.kind === 'string' ? fields.kind : '';
  const kind = checkKind(fields, options.kubernetes, error);
  const raw = withoutNulls(fields.metadata);
  if (raw === undefined) {
    error([], 'required', '`metadata` is required; add it with a name');
    return { ...nobody(written), faults };
  }
  const { value, faults: metadataFaults } = checkStructure(metadataSchema, raw);
  for (const fault of metadataFaults) faults.push({ ...fault, path: ['metadata', ...fault.path] });
  const metadata = toMetadata(value, written, options.defaultNamespace);
  const { namespace, name } = metadata;

  if (kind) {
    const wrong = NAMED_BY_LABEL.includes(kind) && name !== '' ? labelName(name) : undefined;
    if (wrong) error(['metadata', 'name'], wrong.code, `${wrong.text}, no dots, at most 63`);
    checkDryRun(metadata.annotations[DRY_RUN], written, faults);
    const known = [...TOP_LEVEL, ...(ALSO_TOP_LEVEL[kind] ?? [])].filter((key) => kind !== 'Secret' || key !== 'spec');
    for (const key of Object.keys(fields)) {
      if (known.includes(key)) continue;
      const nearest = nearestWord(key, known);
      const advice = nearest ? `did you mean \`${nearest}\`?` : 'move it under `spec`, or remove it';
      error([key], 'unknown-field', `unknown field \`${key}\` in ${kind}; ${advice}`, 'key');
    }
  }
  const apiVersion = typeof fields.apiVersion === 'string' ? fields.apiVersion : '';
  // A problem names the object as it was written, also where that is no good name.
  const identity = { kind: written, namespace, name: name || writtenName(raw) };
  return { identity, kind, apiVersion, metadata, faults };
}

function writtenName(metadata: unknown): string {
  if (typeof metadata !== 'object' || metadata === null || !('name' in metadata)) return '';
  return typeof metadata.name === 'string' || typeof metadata.name === 'number'
    ? String(metadata.name).slice(0, 253)
    : '';
}

type Report = (path: Fault['path'], code: string, text: string, part?: Fault['part']) => void;

function checkKind(fields: Readonly<Record<string, unknown>>, kubernetes: boolean, error: Report): Kind | undefined {
  const { apiVersion, kind } = fields;
  const isMissing = (field: string) => fields[field] === undefined || fields[field] === null;
  for (const field of ['apiVersion', 'kind']) {
    if (isMissing(field)) error([], 'required', `\`${field}\` is required; add it`);
    else if (typeof fields[field] !== 'string') error([field], 'type', `\`${field}\` must be a string; write one`);
  }
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') return undefined;
  const slash = apiVersion.indexOf('/');
  const group = slash < 0 ? '' : apiVersion.slice(0, slash);
  const refused = refusedKind(group, kind);
  if (refused) {
    error(['kind'], 'unsupported', refused);
    return undefined;
  }
  if (!isKind(kind)) {
    const nearest = nearestWord(kind, [...ISTIO_KINDS, ...(kubernetes ? KUBERNETES_KINDS : [])]);
    const advice = nearest ? `did you mean \`${nearest}\`?` : 'see `lateenctl get --help` for the kinds that there are';
    error(['kind'], 'unknown-kind', `kind \`${kind}\` of \`${apiVersion}\` is not known; ${advice}`);
    return undefined;
  }
  const { family, group: ownGroup, versions } = describeKind(kind);
  if (family === 'kubernetes' && !kubernetes) {
    const advice = 'start it with `lateenctl local up -f`, or apply it to the cluster';
    error(['kind'], 'unsupported', `${kind} is not mesh configuration and is not stored here; ${advice}`);
    return undefined;
  }
  const served = versions.map((version) => (ownGroup === '' ? version : `${ownGroup}/${version}`));
  if (!served.includes(apiVersion)) {
    const advice = `write ${served.join(' or ')}`;
    error(['apiVersion'], 'api-version', `${kind} has no apiVersion \`${apiVersion}\`; ${advice}`);
    // The versions of a kind have the same fields, so its spec is checked all the same.
  }
  return kind;
}

function nobody(kind: string): Omit<Envelope, 'faults'> {
  return {
    identity: { kind, namespace: '', name: '' },
    kind: undefined,
    apiVersion: '',
    metadata: { name: '', namespace: '', labels: {}, annotations: {} },
  };
}

/** In metadata an empty value means "not set", as in what `kubectl get -o yaml` writes (`creationTimestamp: null`). */
function withoutNulls(metadata: unknown): unknown {
  if (metadata === null) return undefined;
  if (typeof metadata !== 'object' || Array.isArray(metadata)) return metadata;
  return Object.fromEntries(Object.entries(metadata as object).filter(([, value]) => value !== null));
}

function toMetadata(
  value: Loose<{
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    creationTimestamp?: string;
    resourceVersion?: string;
  }>,
  kind: string,
  defaultNamespace: string,
): ObjectMetadata {
  const namespaced = !isKind(kind) || describeKind(kind).namespaced;
  return {
    name: value.name ?? '',
    namespace: namespaced ? (value.namespace ?? defaultNamespace) : '',
    labels: definedOnly(value.labels),
    annotations: definedOnly(value.annotations),
    ...(value.creationTimestamp !== undefined && { creationTimestamp: value.creationTimestamp }),
    ...(value.resourceVersion !== undefined && { resourceVersion: value.resourceVersion }),
  };
}

function definedOnly(entries: Readonly<Record<string, string | undefined>> = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(entries).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
