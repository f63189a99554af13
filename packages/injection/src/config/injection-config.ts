// Configuration: the ConfigMap `istio-sidecar-injector`: its keys `config` (policy, templates) and `values`, read and tried
// out. What is wrong is refused as a whole, so that whoever follows the ConfigMap keeps the last good one.

import { nearestWords } from '@lateen/istio-config';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import type { LabelSelector } from '../decide/label-selector.js';
import { DEFAULT_CONFIG_TEXT, DEFAULT_VALUES_TEXT } from '../gen/default-config.js';
import { InjectionError } from '../problems.js';
import { deepMerge, isObject, type JsonObject } from './deep-merge.js';
import { type InjectionValues, valuesSchema } from './values.js';

const selector = z.strictObject({
  matchLabels: z.record(z.string(), z.string()).optional(),
  matchExpressions: z
    .array(
      z.strictObject({
        key: z.string().min(1),
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: z.array(z.string()).optional(),
      }),
    )
    .optional(),
});

const template = z.union([z.string(), z.record(z.string(), z.unknown())]);

const configSchema = z.strictObject({
  policy: z.enum(['enabled', 'disabled']).default('enabled'),
  defaultTemplates: z.array(z.string()).default(['sidecar']),
  aliases: z.record(z.string(), z.array(z.string())).default({}),
  neverInjectSelector: z.array(selector).default([]),
  alwaysInjectSelector: z.array(selector).default([]),
  injectedAnnotations: z.record(z.string(), z.string()).default({}),
  templates: z.record(z.string(), template),
});

/** A template as JSON-e takes it. */
export type Template = JsonObject;

export interface InjectionConfig {
  readonly policy: 'enabled' | 'disabled';
  readonly defaultTemplates: readonly string[];
  readonly aliases: Readonly<Record<string, readonly string[]>>;
  readonly neverInjectSelector: readonly LabelSelector[];
  readonly alwaysInjectSelector: readonly LabelSelector[];
  readonly injectedAnnotations: Readonly<Record<string, string>>;
  readonly templates: Readonly<Record<string, Template>>;
  readonly values: InjectionValues;
}

/** Texts of the ConfigMap; a key that is not there has the default. */
export interface InjectionConfigTexts {
  readonly config?: string;
  readonly values?: string;
}

/** The ConfigMap's `data` as the mesh is installed with. */
export function defaultConfigTexts(): { readonly config: string; readonly values: string } {
  return { config: DEFAULT_CONFIG_TEXT, values: DEFAULT_VALUES_TEXT };
}

/** Reads both texts; templates are not tried out yet. @throws InjectionError with everything that is wrong */
export function readInjectionConfig({ config, values }: InjectionConfigTexts): InjectionConfig {
  const problems: string[] = [];
  const defaults = readMapping('values', DEFAULT_VALUES_TEXT, problems);
  const given = values === undefined ? {} : readMapping('values', values, problems);
  const merged = check('values', valuesSchema, deepMerge(defaults, given), problems);
  const parsed = check(
    'config',
    configSchema,
    readMapping('config', config ?? DEFAULT_CONFIG_TEXT, problems),
    problems,
  );
  const templates = readTemplates(parsed?.templates ?? {}, problems);
  if (parsed !== undefined) problems.push(...unknownTemplates(parsed, Object.keys(templates)));
  if (problems.length > 0 || parsed === undefined || merged === undefined) throw new InjectionError(problems);
  return { ...parsed, templates, values: merged };
}

function readMapping(key: string, text: string, problems: string[]): JsonObject {
  const document = parseDocument(text, { prettyErrors: true });
  problems.push(...document.errors.map(({ message }) => `${key}: ${message.split('\n')[0]?.replace(/:$/, '')}`));
  if (document.errors.length > 0) return {};
  const value: unknown = document.toJS();
  if (value === null || value === undefined) return {};
  if (isObject(value)) return value;
  problems.push(`${key}: a mapping is expected`);
  return {};
}

function check<T>(key: string, schema: z.ZodType<T>, value: unknown, problems: string[]): T | undefined {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  for (const issue of result.error.issues) problems.push(`${[key, ...issue.path].join('.')}: ${issueText(issue)}`);
  return undefined;
}

function issueText(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'unrecognized_keys') return issue.message;
  const known = Object.keys(configSchema.shape);
  const named = issue.keys.map((each) => {
    const [near] = nearestWords(each, known, 1);
    return `unknown field ${each}${near === undefined ? '' : `; did you mean ${near}?`}`;
  });
  return named.join(', ');
}

function readTemplates(given: Record<string, string | JsonObject>, problems: string[]): Record<string, Template> {
  const templates: Record<string, Template> = {};
  for (const [name, value] of Object.entries(given)) {
    const place = `config.templates.${name}`;
    if (typeof value !== 'string') templates[name] = value;
    else if (/\{\{[\s\S]*\}\}/.test(value)) {
      problems.push(`${place}: this is a Go template; here templates are JSON-e over YAML (docs/injection.md)`);
    } else templates[name] = readMapping(place, value, problems);
    if (asksClock(templates[name])) {
      problems.push(`${place}: $fromNow is not there: a pod injected twice must be the same`);
    }
  }
  return templates;
}

function asksClock(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([key, entry]) => key === '$fromNow' || asksClock(entry));
}

function unknownTemplates(config: z.infer<typeof configSchema>, names: readonly string[]): string[] {
  const uses = [
    ...config.defaultTemplates.map((name) => ['config.defaultTemplates', name] as const),
    ...Object.entries(config.aliases).flatMap(([alias, targets]) =>
      targets.map((name) => [`config.aliases.${alias}`, name] as const),
    ),
  ];
  const known = new Set([...names, ...Object.keys(config.aliases)]);
  return uses.filter(([, name]) => !known.has(name)).map(([place, name]) => `${place}: there is no template ${name}`);
}
