// Values: files and `--set` words, laid over the profile that they name → what is installed.
import { type FieldPath, formatPath, type Problem, parseMeshConfig } from '@lateen/istio-config';
import { isTextField, readSettings } from '@lateen/istio-config/declare';
import { stringify } from 'yaml';
import { type InstallationValues, PROFILE_VALUES } from './profiles.js';
import { installationValues, PROFILES, type Profile } from './schema.js';
import { SetValueError, setValue } from './set-value.js';

export interface ValuesInput {
  /** YAML files, the later over the earlier. */
  readonly files: readonly { readonly name: string; readonly content: string }[];
  /** `PATH=VALUE`, over the files. */
  readonly set: readonly string[];
  /** Version of the images where nothing says another. */
  readonly release: string;
}

export interface ResolvedValues {
  /** Undefined where there is an error. */
  readonly values: WholeValues | undefined;
  readonly problems: readonly Problem[];
}

/** Values with everything said. */
export type WholeValues = InstallationValues & {
  readonly profile: Profile;
  readonly revision: string;
  readonly hub: string;
  readonly tag: string;
  readonly trustDomain: string;
  readonly bindAddress: '0.0.0.0' | '::';
  readonly components: NonNullable<InstallationValues['components']>;
};

type Tree = Record<string, unknown>;

/** Mappings are joined, everything else is replaced; null takes a default away. */
export function resolveValues({ files, set, release }: ValuesInput): ResolvedValues {
  const problems: Problem[] = [];
  let said: Tree = {};
  for (const file of files) {
    const read = readSettings(installationValues, 'InstallationValues', file);
    problems.push(...read.problems);
    if (read.value === undefined) continue;
    problems.push(...meshConfigProblems(read.value, file.name, read.locate));
    said = joined(said, read.value) as Tree;
  }
  said = structuredClone(said);
  problems.push(...setProblems(said, set));
  if (problems.some(({ severity }) => severity === 'error')) return { values: undefined, problems };

  const profile = (said.profile ?? 'default') as Profile;
  const whole = joined(joined(PROFILE_VALUES[profile], { tag: release }), said) as WholeValues;
  problems.push(...contradictions(whole));
  const failed = problems.some(({ severity }) => severity === 'error');
  return { values: failed ? undefined : whole, problems };
}

/** Lays words over what files say; what is wrong is told as the words'. */
function setProblems(said: Tree, set: readonly string[]): Problem[] {
  try {
    for (const word of set) setValue(said, word, (path) => isTextField(installationValues, path));
  } catch (error) {
    if (!(error instanceof SetValueError)) throw error;
    return [problem('--set', [], 'set', error.message)];
  }
  if (set.length === 0) return [];
  const words = { name: `--set ${set.join(' --set ')}`, content: stringify(withoutNull(said)) };
  const { value, problems } = readSettings(installationValues, 'InstallationValues', words);
  // Lines are of no text that anybody wrote.
  const unplaced = problems.map((each) => ({ ...each, line: 0, column: 0 }));
  return value === undefined ? unplaced : [...unplaced, ...meshConfigProblems(value, words.name)];
}

function meshConfigProblems(
  { meshConfig }: InstallationValues,
  file: string,
  locate?: (path: FieldPath) => { readonly line: number; readonly column: number },
): Problem[] {
  if (meshConfig === undefined || Object.keys(meshConfig).length === 0) return [];
  const { problems } = parseMeshConfig({ name: file, content: stringify(meshConfig) });
  const at = locate?.(['meshConfig']) ?? { line: 0, column: 0 };
  return problems.map((each) => ({
    ...each,
    ...at,
    path: each.path === '' ? 'meshConfig' : `meshConfig.${each.path}`,
  }));
}

function contradictions(values: WholeValues): Problem[] {
  const found: Problem[] = [];
  if (!(PROFILES as readonly string[]).includes(values.profile)) throw new Error(`no profile ${values.profile}`);
  const deployed = {
    ...Object.fromEntries(Object.entries(values.components).map(([name, each]) => [`components.${name}`, each])),
    'gateways.ingress': values.gateways?.ingress,
  };
  for (const [path, each] of Object.entries(deployed)) {
    const { minReplicas = 1, maxReplicas = 1, enabled = false } = each?.autoscaling ?? {};
    if (enabled && minReplicas > maxReplicas) {
      const text = `minReplicas ${minReplicas} is above maxReplicas ${maxReplicas}; correct one of them`;
      found.push(problem('values', [...path.split('.'), 'autoscaling'], 'range', text));
    }
  }
  return found;
}

function problem(file: string, path: FieldPath, code: string, message: string): Problem {
  const identity = { kind: 'InstallationValues', namespace: '', name: '' };
  return { file, line: 0, column: 0, ...identity, path: formatPath(path), severity: 'error', code, message };
}

/** `over` laid over `under`: mappings joined, the rest replaced, null taken away. */
function joined(under: unknown, over: unknown): unknown {
  if (over === undefined) return under;
  if (!isMapping(under) || !isMapping(over)) return isMapping(over) ? withoutNull(over) : over;
  const result: Tree = { ...under };
  for (const [key, value] of Object.entries(over)) {
    if (value === null) delete result[key];
    else result[key] = joined(under[key], value);
  }
  return result;
}

function withoutNull(value: unknown): unknown {
  if (!isMapping(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, each]) => (each === null ? [] : [[key, withoutNull(each)]])),
  );
}

function isMapping(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
