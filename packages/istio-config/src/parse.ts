// Text → objects: reads documents, checks structure, meaning and what Lateen acts on, and collects every problem.
import { checkActedOn } from './acted-on-check.js';
import { checkStructure } from './declare/check.js';
import { FaultList, withoutConsequences } from './declare/fault.js';
import { checkEnvelope, type Envelope, type Identity } from './envelope.js';
import { type MeshConfig, meshConfig } from './kinds/mesh-config.js';
import { isIstioKind, specSchema } from './kinds/registry.js';
import { decodedValues, SECRET_FIELDS, type SecretBody, withoutValues } from './kubernetes/secret.js';
import { MEANING } from './meaning/index.js';
import { checkMeshConfig } from './meaning/mesh-config.js';
import type { RuleContext } from './meaning/rule.js';
import type { ConfigObject, Kind, ObjectMetadata, SpecOf } from './object.js';
import { compareProblems, type FieldPath, formatPath, type Problem } from './problem.js';
import type { Position } from './yaml/line-index.js';
import { expandLists } from './yaml/lists.js';
import type { NodePart } from './yaml/locate.js';
import { readYaml, type YamlDocument, type YamlText } from './yaml/read.js';

/** A text to parse; the name is what problems call it. */
export interface InputFile {
  readonly name: string;
  readonly content: string;
}

export interface ParseOptions {
  /** Namespace of documents that name none. */
  readonly defaultNamespace: string;
  /** Whether Kubernetes documents (Service, Deployment…) are taken; where not, they are refused by name. Default true. */
  readonly kubernetes?: boolean;
  /** Namespace whose policies are for the whole mesh. Default `istio-system`. */
  readonly rootNamespace?: string;
}

export interface ParsedDocuments {
  /** The documents that have no error of their own, in the order of the text. */
  readonly objects: readonly ConfigObject[];
  /** Everything found, in the order of the text. Empty of errors: all documents are in `objects`. */
  readonly problems: readonly Problem[];
}

/** Where an object was read from. The text is kept and not its nodes, which take some forty times as much memory. */
interface Origin {
  readonly content: string;
  readonly documentIndex: number;
  readonly base: FieldPath;
}

const origins = new WeakMap<ConfigObject, Origin>();

/**
 * What was read last, as long as it is in memory, newest last: positions are asked for in runs, most often right after
 * parsing, and of several files by turns.
 */
const lastRead: { readonly content: string; readonly text: WeakRef<YamlText> }[] = [];
const MAX_LAST_READ = 16;

function readText(content: string): YamlText {
  const index = lastRead.findIndex((each) => each.content === content);
  const [known] = index < 0 ? [] : lastRead.splice(index, 1);
  const text = known?.text.deref() ?? readYaml(content);
  lastRead.push({ content, text: new WeakRef(text) });
  if (lastRead.length > MAX_LAST_READ) lastRead.shift();
  return text;
}

/**
 * Where a field of an object was written (`['spec', 'http', 0]`); the nearest thing above it where it was not written;
 * the object's own position where the object was not made by `parseDocuments`.
 */
export function locateField(object: ConfigObject, path: FieldPath, part: NodePart = 'value'): Position {
  const { line, column } = object.source;
  const origin = origins.get(object);
  if (!origin) return { line, column };
  const document = readText(origin.content).documents[origin.documentIndex];
  return document?.locate([...origin.base, ...path], part) ?? { line, column };
}

/** The object with other metadata, as a store keeps it: with the time at which it came. Its places stay known. */
export function withMetadata<O extends ConfigObject>(object: O, metadata: ObjectMetadata): O {
  const copy = { ...object, metadata };
  const origin = origins.get(object);
  if (origin) origins.set(copy, origin);
  return copy;
}

/**
 * The values of a Secret that `parseDocuments` made, by key: read again from its text, since the object itself does not
 * hold them. Undefined where the object was made otherwise.
 */
export function readSecretValues(secret: ConfigObject<'Secret'>): ReadonlyMap<string, string> | undefined {
  const origin = origins.get(secret);
  if (!origin) return undefined;
  const document = readText(origin.content).documents[origin.documentIndex];
  let value: unknown = document?.value;
  for (const step of origin.base) value = (value as Record<string, unknown> | undefined)?.[step as string];
  return decodedValues(specOf(value, 'Secret') as SecretBody);
}

/** Parses files of YAML or JSON documents, `List`s included. Never throws for what a file holds, never stops early. */
export function parseDocuments(files: readonly InputFile[], options: ParseOptions): ParsedDocuments {
  const objects: ConfigObject[] = [];
  const problems: Problem[] = [];
  for (const { name: file, content } of files) {
    const found: Problem[] = [];
    const { documents, faults } = readText(content);
    for (const { line, column, code, message } of faults) {
      found.push({ file, line, column, ...NOBODY, path: '', severity: 'error', code, message });
    }
    for (const [documentIndex, document] of documents.entries()) {
      for (const { value, base } of expandLists(document.value)) {
        const object = parseDocument({ file, document, value, base }, options, found);
        if (!object) continue;
        origins.set(object, { content, documentIndex, base });
        objects.push(object);
      }
    }
    problems.push(...found.sort(compareProblems));
  }
  return { objects, problems };
}

/**
 * Checks one document that is no text (any more), such as an object of an API server: the same rules, some ten times as
 * fast. Its places, and those of its problems, are line 0.
 */
export function parseObject(file: string, value: unknown, options: ParseOptions): ParsedDocuments {
  const document: YamlDocument = { value, locate: () => ({ line: 0, column: 0 }) };
  const problems: Problem[] = [];
  const object = parseDocument({ file, document, value, base: [] }, options, problems);
  return { objects: object ? [object] : [], problems };
}

const NOBODY: Identity = { kind: '', namespace: '', name: '' };

/** One object's part of a text. */
interface Part {
  readonly file: string;
  readonly document: YamlDocument;
  readonly value: unknown;
  /** Path from the document to the object: `items[3]` in a List, else empty. */
  readonly base: FieldPath;
}

function parseDocument(part: Part, options: ParseOptions, problems: Problem[]): ConfigObject | undefined {
  const { defaultNamespace, kubernetes = true, rootNamespace = 'istio-system' } = options;
  const envelope = checkEnvelope(part.value, { defaultNamespace, kubernetes });
  const faults = new FaultList();
  faults.add(envelope.faults);
  const { namespace, name } = envelope.metadata;
  const spec =
    envelope.kind &&
    checkSpec(envelope.kind, specOf(part.value, envelope.kind), { namespace, name, rootNamespace }, faults);
  const before = problems.length;
  problems.push(...toProblems(part, envelope.identity, faults));
  const failed = problems.slice(before).some(({ severity }) => severity === 'error');
  if (failed || !envelope.kind || !spec) return undefined;
  return toObject(part, envelope, envelope.kind, spec);
}

/** The spec; of a Secret the fields that stand beside its metadata. */
function specOf(document: unknown, kind: Kind): unknown {
  if (typeof document !== 'object' || document === null) return {};
  if (kind === 'Secret') {
    return Object.fromEntries(Object.entries(document).filter(([field]) => SECRET_FIELDS.includes(field)));
  }
  return 'spec' in document ? document.spec : {};
}

/** Structure, then meaning, then what Lateen acts on. Returns the spec; what was wrong in it is in `faults`. */
function checkSpec<K extends Kind>(kind: K, input: unknown, context: RuleContext, faults: FaultList): object {
  const { value, faults: structure } = checkStructure(specSchema(kind), input);
  const found = new FaultList();
  found.add(structure);
  const own = new FaultList();
  const isObject = typeof input === 'object' && input !== null && !Array.isArray(input);
  if (isObject) {
    // The value was just checked against this kind's schema, which a table by kind cannot tell the compiler.
    const rule = MEANING[kind] as (spec: object, faults: FaultList, context: RuleContext) => void;
    rule(value, found, context);
  }
  own.add(withoutConsequences(found.faults));
  if (isObject && isIstioKind(kind)) checkActedOn(kind, value, own);
  for (const fault of own.faults) {
    // What is not done with the kind as a whole stands at `kind`, all else below `spec`.
    const whole = (fault.code === 'not-acted-on' || fault.code === 'unsupported') && fault.path.length === 0;
    const path = whole ? ['kind'] : kind === 'Secret' ? fault.path : ['spec', ...fault.path];
    const part = path.length === 1 && !whole ? 'key' : fault.part;
    faults.faults.push({ ...fault, path, part });
  }
  return value;
}

function toProblems({ file, document, base }: Part, identity: Identity, { faults }: FaultList): Problem[] {
  return faults.map(({ path, part, severity, code, message }) => {
    const { line, column } = document.locate([...base, ...path], part);
    return { file, line, column, ...identity, path: formatPath(path), severity, code, message };
  });
}

function toObject({ file, document, base }: Part, envelope: Envelope, kind: Kind, spec: object): ConfigObject {
  const { apiVersion, metadata } = envelope;
  const { line, column } = document.locate(base, 'value');
  // Without errors nothing was taken out of the spec, so it is the kind's.
  const object = {
    apiVersion,
    kind,
    metadata,
    spec: kind === 'Secret' ? withoutValues(spec) : (spec as SpecOf<Kind>),
    source: { file, line, column },
  } as ConfigObject;
  return object;
}

/** What a mesh file holds. */
export interface ParsedMeshConfig {
  /** undefined where there are errors. An empty file is an empty configuration. */
  readonly config: MeshConfig | undefined;
  readonly problems: readonly Problem[];
  /** Where a field was written; the nearest thing above it where it was not. */
  locate(path: FieldPath): Position;
}

/** Parses `mesh.yaml`: MeshConfig, without apiVersion and kind. Defaults are not filled in. */
export function parseMeshConfig({ name: file, content }: InputFile): ParsedMeshConfig {
  const { documents, faults } = readYaml(content);
  const identity: Identity = { kind: 'MeshConfig', namespace: '', name: '' };
  const problems: Problem[] = faults.map(({ line, column, code, message }) => {
    return { file, line, column, ...identity, path: '', severity: 'error', code, message };
  });
  const [document, second] = documents;
  const found = new FaultList();
  if (second) {
    const { line, column } = second.locate([], 'value');
    const message = 'a mesh file holds one document; join them';
    problems.push({ file, line, column, ...identity, path: '', severity: 'error', code: 'duplicate', message });
  }
  let config: object = {};
  if (document) {
    const checked = checkStructure(meshConfig, document.value);
    config = checked.value;
    const faults = new FaultList();
    faults.add(checked.faults);
    checkMeshConfig(checked.value, faults);
    found.add(withoutConsequences(faults.faults));
    checkActedOn('MeshConfig', checked.value, found);
    problems.push(...toProblems({ file, document, value: document.value, base: [] }, identity, found));
  }
  const failed = problems.some(({ severity }) => severity === 'error');
  return {
    config: failed ? undefined : (config as MeshConfig),
    problems: problems.sort(compareProblems),
    locate: (path) => document?.locate(path, 'key') ?? { line: 1, column: 1 },
  };
}

const OBJECT_FIELDS = ['apiVersion', 'kind', 'metadata', 'spec'];

/** True for a text that is no resource but has a field of MeshConfig, which is how a mesh file can be told. */
export function isMeshConfig(content: string): boolean {
  const [document, second] = readText(content).documents;
  const value = document?.value;
  if (second || typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const fields = Object.keys(value);
  if (fields.some((field) => OBJECT_FIELDS.includes(field))) return false;
  return fields.some((field) => Object.hasOwn(meshConfig.shape, field));
}
