// Source: documents that people apply and delete. All of a request is accepted or nothing of it.

import { compareProblems, type InputFile, kindByName, type Problem } from '@lateen/istio-config';
import { parseAllDocuments } from 'yaml';
import { type ConfigRules, problemsOfChange } from '../rules.js';
import { type ConfigState, type ConfigStore, type Decision, nextVersion } from '../store/config-store.js';
import { contentOf, keyOf, type ResourceContent, resourceKey, sameContent } from '../store/stored-resource.js';
import { describeOwner, hasErrors, ownershipProblems } from './ownership.js';

export interface ResourceName {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export interface ResourceOutcome extends ResourceName {
  readonly action: 'created' | 'configured' | 'unchanged' | 'deleted' | 'not found';
  /** Version of the store from which on this is so; '' where nothing was, or is, changed. */
  readonly resourceVersion: string;
}

export interface ChangeOutcome {
  /** With an error among them nothing was changed. */
  readonly problems: readonly Problem[];
  readonly outcomes: readonly ResourceOutcome[];
}

export interface ApplyOptions {
  readonly files: readonly InputFile[];
  readonly defaultNamespace: string;
  /** Says what would happen and changes nothing. */
  readonly dryRun: boolean;
}

/** Validates all documents and stores all of them, or none; durable when it resolves. */
export function applyDocuments(store: ConfigStore, rules: ConfigRules, options: ApplyOptions): Promise<ChangeOutcome> {
  const parsed = rules.parse(options.files, options.defaultNamespace);
  const put = parsed.objects.map((object) => contentOf(object, 'applied'));
  const change = { put, remove: [] };
  return store.transact((state): Decision<ChangeOutcome> => {
    const problems = [...parsed.problems, ...ownershipProblems(state, put)];
    // Checks across resources are only meaningful where all of them could be read.
    if (!hasErrors(problems)) problems.push(...problemsOfChange(rules, state, change, new Set(put.map(keyOf))));
    problems.sort(compareProblems);
    if (hasErrors(problems)) return { result: { problems, outcomes: [] } };
    const outcomes = put.map((content) => {
      const action = applyAction(state, content);
      const unchanged = action === 'unchanged' ? state.resources.get(keyOf(content))?.resourceVersion : undefined;
      const resourceVersion = options.dryRun ? '' : String(unchanged ?? nextVersion(state));
      return { ...nameOf(content), action, resourceVersion };
    });
    return { change: options.dryRun ? undefined : change, result: { problems, outcomes } };
  });
}

function applyAction(state: ConfigState, content: ResourceContent): 'created' | 'configured' | 'unchanged' {
  const existing = state.resources.get(keyOf(content));
  if (existing === undefined) return 'created';
  return sameContent(existing, content) ? 'unchanged' : 'configured';
}

export interface DeleteOptions {
  /** Kind, namespace and name are taken from these documents; the rest of them is not looked at. */
  readonly files: readonly InputFile[];
  readonly resources: readonly ResourceName[];
  readonly defaultNamespace: string;
}

/** Removes resources, all or none; durable when it resolves. A name that does not exist is reported, not an error. */
export function deleteDocuments(
  store: ConfigStore,
  rules: ConfigRules,
  options: DeleteOptions,
): Promise<ChangeOutcome> {
  const { names, problems: nameProblems } = namesToDelete(options);
  return store.transact((state): Decision<ChangeOutcome> => {
    const problems = [...nameProblems];
    for (const { kind, namespace, name } of names) {
      const existing = state.resources.get(resourceKey(kind, namespace, name));
      if (existing !== undefined && existing.origin !== 'applied') {
        const message = `${kind} ${namespace}/${name} belongs to ${describeOwner(existing)}; remove it there`;
        problems.push(problem({ file: '', kind, namespace, name }, 'other-owner', message));
      }
    }
    if (hasErrors(problems)) return { result: { problems, outcomes: [] } };
    const remove = names.map(({ kind, namespace, name }) => resourceKey(kind, namespace, name));
    // What refers to something that goes away is worth a warning, but deleting is the user's decision.
    const change = { put: [], remove };
    for (const found of problemsOfChange(rules, state, change, new Set())) {
      problems.push({ ...found, severity: 'warning' });
    }
    const outcomes = names.map((name, index) =>
      state.resources.has(remove[index]!)
        ? { ...name, action: 'deleted' as const, resourceVersion: String(nextVersion(state)) }
        : { ...name, action: 'not found' as const, resourceVersion: '' },
    );
    return { change, result: { problems, outcomes } };
  });
}

function namesToDelete({ files, resources, defaultNamespace }: DeleteOptions) {
  const names = new Map<string, ResourceName>();
  const problems: Problem[] = [];
  const add = (file: string, word: string, namespace: string, name: string) => {
    const kind = kindByName(word);
    if (kind === undefined || kind.family !== 'istio') {
      problems.push(problem({ file, kind: word, namespace, name }, 'unknown-kind', `Galley has no kind ${word}`));
    } else if (name === '') {
      problems.push(problem({ file, kind: word, namespace, name }, 'missing-name', 'a name is required'));
    } else {
      names.set(resourceKey(kind.kind, namespace, name), { kind: kind.kind, namespace, name });
    }
  };
  for (const { kind, namespace, name } of resources) add('', kind, namespace || defaultNamespace, name);
  for (const file of files) {
    for (const document of parseAllDocuments(file.content)) {
      if ('empty' in document) continue;
      if (document.errors.length > 0) {
        const message = document.errors[0]?.message ?? 'it cannot be read';
        problems.push(problem({ file: file.name, kind: '', namespace: '', name: '' }, 'syntax', message));
        continue;
      }
      for (const { kind, metadata } of expandLists(document.toJS())) {
        add(file.name, text(kind), text(metadata?.namespace) || defaultNamespace, text(metadata?.name));
      }
    }
  }
  return { names: [...names.values()], problems };
}

interface LooseDocument {
  readonly kind?: unknown;
  readonly metadata?: { readonly name?: unknown; readonly namespace?: unknown };
  readonly items?: unknown;
}

/** The document, or what it lists where it is a `List`; nothing for an empty one. */
function expandLists(value: unknown): LooseDocument[] {
  if (typeof value !== 'object' || value === null) return [];
  const { kind, items } = value as LooseDocument;
  if (Array.isArray(items) && text(kind).endsWith('List')) return items.flatMap(expandLists);
  return [value as LooseDocument];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function nameOf({ kind, namespace, name }: ResourceName): ResourceName {
  return { kind, namespace, name };
}

function problem(what: ResourceName & { file: string }, code: string, message: string): Problem {
  return { ...what, line: 0, column: 0, path: '', severity: 'error', code, message };
}
