// Conformance, coverage: reads not-acted-on.yaml, and finds out whether a field is refused or warned of by name.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isKind, parseDocuments, parseMeshConfig } from '@lateen/istio-config';
import { parse } from 'yaml';
import { REPOSITORY } from '../../harness/repository.js';
import { type CoveredKind, SAMPLE_TEXTS, specSchemaOf, specSetting, stepsOf } from './schema-fields.js';

export type Standing = 'refused' | 'warned of';

/** What the file says of a kind. */
export interface Listed {
  readonly refused?: readonly string[];
  readonly warned?: readonly string[];
  /** Fields that work, whose case is owed. */
  readonly untested?: readonly string[];
  /** Fields that a case sets, and whose absence no client and no pod can see, with the reason. */
  readonly unseen?: Readonly<Record<string, string>>;
  /** Fields that are no matter of requests, with the file that tests them instead. */
  readonly elsewhere?: Readonly<Record<string, string>>;
}

const FILE = join(REPOSITORY, 'test/conformance/field-coverage/not-acted-on.yaml');

/** The file, by kind. A path takes in everything below it. */
export function readNotActedOn(): Readonly<Partial<Record<CoveredKind, Listed>>> {
  return parse(readFileSync(FILE, 'utf8')) as Partial<Record<CoveredKind, Listed>>;
}

/**
 * Whether a file of the repository sets the field: YAML has each step to it as a key, a test that begins farther in the last
 * one; a word of an enumeration stands there as a value.
 */
export function isNamedIn(file: string, field: string): boolean {
  if (!existsSync(join(REPOSITORY, file))) return false;
  const text = readFileSync(join(REPOSITORY, file), 'utf8');
  const steps = stepsOf(field).filter((step) => step !== '[]' && step !== '*');
  const keys = file.endsWith('.yaml') ? steps : steps.slice(-1);
  const value = /=(.*)$/.exec(field)?.[1];
  const isKey = (name: string) => new RegExp(`(?<![\\w-])${name}["']?:`).test(text);
  return keys.every(isKey) && (value === undefined || new RegExp(`: *["']?${value}(?![\\w-])`).test(text));
}

/** Whether a path of the file takes in a field. */
export function takesIn(path: string, field: string): boolean {
  return field === path || (field.startsWith(path) && '.[='.includes(field[path.length] ?? ' '));
}

/** What becomes of a document that sets the field; undefined where it is acted on. */
export function standingOf(kind: CoveredKind, field: string): Standing | undefined {
  let worst: Standing | undefined;
  for (const text of SAMPLE_TEXTS) {
    const standing = standingWith(kind, field, text);
    if (standing === 'refused') return standing;
    worst ??= standing;
  }
  return worst;
}

function standingWith(kind: CoveredKind, field: string, text: string): Standing | undefined {
  const content = JSON.stringify(documentOf(kind, specSetting(specSchemaOf(kind), field, text)));
  const { problems } = isKind(kind)
    ? parseDocuments([{ name: 'sample', content }], { defaultNamespace: 'default' })
    : parseMeshConfig({ name: 'sample', content });
  const steps = stepsOf(field);
  const about = problems.filter(({ path }) => path === 'kind' || isAbove(stepsOfProblem(path), steps));
  // A word that is refused where it stands need not be one that is refused everywhere.
  const isWord = field.includes('=');
  if (about.some(({ code }) => code === 'unsupported' || (isWord && code === 'enum'))) return 'refused';
  return about.some(({ code }) => code === 'not-acted-on') ? 'warned of' : undefined;
}

/** `spec.http[0].match[0].headers.sample` is http, [], match, [], headers, *. */
function stepsOfProblem(path: string): readonly string[] {
  const field = path.replace(/^spec\.?/, '').replaceAll(/\[\d+\]/g, '[]');
  return stepsOf(field).map((step) => (step === 'sample' ? '*' : step));
}

const isAbove = (path: readonly string[], steps: readonly string[]) =>
  path.every((step, index) => step === steps[index]);

const API_VERSIONS: Readonly<Partial<Record<CoveredKind, string>>> = {
  ProxyConfig: 'networking.istio.io/v1beta1',
  RateLimit: 'lateen.io/v1alpha1',
  HealthCheck: 'lateen.io/v1alpha1',
};

const documentOf = (kind: CoveredKind, spec: unknown): unknown =>
  kind === 'MeshConfig'
    ? spec
    : {
        apiVersion: API_VERSIONS[kind] ?? 'networking.istio.io/v1',
        kind,
        metadata: { name: 'sample' },
        spec,
      };
