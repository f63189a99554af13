// Reference: the page of a kind in Markdown: each message as a table of fields, with what becomes of each.
import type { z } from 'zod';
import { meshConfig } from '../kinds/mesh-config.js';
import { describeKind, ISTIO_KINDS, isKind, KUBERNETES_KINDS, specSchema } from '../kinds/registry.js';
import type { Kind } from '../object.js';
import { fieldStatus, isWhole, statusWords } from './field-status.js';
import { type FieldEntry, type MessageEntry, messagesOf } from './field-tree.js';

/** A page: its file name and its text. */
export interface ReferencePage {
  readonly name: string;
  readonly text: string;
}

const MADE = '<!-- Made from the declarations in packages/istio-config by `npm run docs`; do not edit. -->';

/** Every page of docs/reference: one for each kind, one for MeshConfig, and the list of them. */
export function referencePages(): ReferencePage[] {
  const kinds: readonly (Kind | 'MeshConfig')[] = [...ISTIO_KINDS, ...KUBERNETES_KINDS, 'MeshConfig'];
  const pages = kinds.map((kind) => ({ name: `${kind}.md`, text: referencePage(kind) }));
  return [{ name: 'README.md', text: indexPage(kinds) }, ...pages];
}

function indexPage(kinds: readonly (Kind | 'MeshConfig')[]): string {
  const rows = kinds.map((kind) => {
    const versions = isKind(kind) ? apiVersions(kind).join(', ') : 'mesh.yaml';
    return `| [${kind}](${kind}.md) | ${versions} | ${cell(kindStatus(kind))} |`;
  });
  return [
    MADE,
    '',
    '# Kinds',
    '',
    'Each page lists the fields of a kind: type, default, and whether Lateen acts on it. *Warned*: accepted, with a warning, and without',
    'effect for now. *Refused*: `apply` and `validate` report an error. [Editor schemas](../editor-schemas.md) say the same.',
    '',
    '| kind | API versions | acted on |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

/** What becomes of a kind as a whole. */
function kindStatus(kind: Kind | 'MeshConfig'): string {
  const whole = fieldStatus(kind, []);
  if (!whole) return 'in local mode';
  const fields = Object.keys(declarationOf(kind).shape);
  const isDone = fields.every((field) => fieldStatus(kind, [field])?.verdict === 'acted on');
  return isDone ? 'yes' : statusWords(whole);
}

function declarationOf(kind: Kind | 'MeshConfig'): z.ZodObject {
  return isKind(kind) ? specSchema(kind) : meshConfig;
}

/** The page of one kind. */
export function referencePage(kind: Kind | 'MeshConfig'): string {
  const messages = messagesOf(declarationOf(kind), kind);
  const whole = fieldStatus(kind, []);
  const lines = [MADE, '', `# ${kind}`, ''];
  if (isKind(kind)) {
    const { shortNames, plural } = describeKind(kind);
    const names = [plural, ...shortNames].map((name) => `\`${name}\``).join(', ');
    lines.push(
      `API versions ${apiVersions(kind).join(', ')}, all with the same fields. In commands also ${names}.`,
      '',
    );
  } else {
    lines.push('Settings of the mesh: `mesh.yaml` in local mode. The file has no `apiVersion` and no `kind`.', '');
  }
  if (whole && isWhole(whole)) lines.push(`**${capital(statusWords(whole))}.**`, '');
  for (const [index, message] of messages.entries()) {
    const heading = index === 0 ? topHeading(kind) : titleOf(message, messages);
    lines.push(`## ${heading}`, '', ...messageLines(kind, message, messages));
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

/** What the fields of the kind stand in. */
function topHeading(kind: Kind | 'MeshConfig'): string {
  if (!isKind(kind)) return 'The file';
  return kind === 'Secret' ? 'Beside the metadata' : 'spec';
}

function apiVersions(kind: Kind): string[] {
  const { group, versions } = describeKind(kind);
  return versions.map((version) => `\`${group === '' ? version : `${group}/${version}`}\``);
}

/** The name of a message; with the first place where it stands if another message has the same name. */
function titleOf(message: MessageEntry, messages: readonly MessageEntry[]): string {
  const isUnique = messages.filter(({ name }) => name === message.name).length === 1;
  return isUnique ? message.name : `${message.name} (${pathText(message.paths[0] ?? [])})`;
}

function pathText(path: readonly string[]): string {
  return path.join('.').replaceAll('.[]', '[]').replaceAll('.*', '[*]');
}

function messageLines(kind: string, message: MessageEntry, messages: readonly MessageEntry[]): string[] {
  const { fields, paths, atMostOneOf, exactlyOneOf, alsoKnown } = message;
  const lines: string[] = [];
  const places = paths.filter((path) => path.length > 0).map((path) => `\`${pathText(path)}\``);
  if (places.length > 0) lines.push(`At ${places.join(', ')}.`, '');
  for (const group of exactlyOneOf) lines.push(`Exactly one of ${names(group)}.`, '');
  for (const group of atMostOneOf) lines.push(`At most one of ${names(group)}.`, '');
  if (fields.length > 0) {
    const hasStatus = fieldStatus(kind, []) !== undefined;
    lines.push(`| field | type | default | meaning |${hasStatus ? ' acted on |' : ''}`);
    lines.push(`|---|---|---|---|${hasStatus ? '---|' : ''}`);
    for (const field of fields) lines.push(fieldRow(kind, message, field, messages, hasStatus));
    lines.push('');
  }
  lines.push(...warnedLines(message));
  if (alsoKnown.length > 0) lines.push(`Accepted and not looked at: ${names(alsoKnown)}.`, '');
  return lines;
}

/** The fields that are accepted with a warning, and what is so in their place. */
function warnedLines({ withoutEffect, defaults }: MessageEntry): string[] {
  const warned = Object.entries(withoutEffect);
  if (warned.length === 0) return [];
  const rows = warned.map(([field, reason]) => {
    const usual = (defaults[field] ?? []).map((value) => `\`${JSON.stringify(value)}\``).join(' and ');
    return `| \`${field}\` | ${cell(reason)} | ${cell(usual)} |`;
  });
  return ['| warned, without effect | in its place | no warning at |', '|---|---|---|', ...rows, ''];
}

function names(fields: readonly string[]): string {
  return fields.map((field) => `\`${field}\``).join(', ');
}

function fieldRow(
  kind: string,
  message: MessageEntry,
  field: FieldEntry,
  messages: readonly MessageEntry[],
  hasStatus: boolean,
): string {
  const { text, fallback } = splitDefault(field.description);
  const words = field.words.length > 0 ? ` One of ${field.words.join(', ')}.` : '';
  const columns = [
    `\`${field.name}\`${field.isRequired ? ' (required)' : ''}`,
    field.message ? linkedType(field, titleOf(field.message, messages)) : field.type,
    fallback,
    `${text}${words}`,
  ];
  if (hasStatus) columns.push(statusAt(kind, message, field));
  return `| ${columns.map(cell).join(' | ')} |`;
}

function linkedType(field: FieldEntry, title: string): string {
  const anchor = title
    .toLowerCase()
    .replaceAll(/[^a-z0-9 _-]/g, '')
    .replaceAll(' ', '-');
  return field.type.replace(field.message?.name ?? '', (name) => `[${name}](#${anchor})`);
}

/** A description says its default as `(default X)`, which gets a column of its own. */
export function splitDefault(description: string): { readonly text: string; readonly fallback: string } {
  const found = /\s*\(default:? ([^()]*(?:\([^()]*\)[^()]*)*)\)/.exec(description);
  if (!found) return { text: description, fallback: '' };
  return { text: description.replace(found[0], ''), fallback: found[1] ?? '' };
}

/** The status of a field wherever its message stands; where it is not the same everywhere, by place. */
function statusAt(kind: string, message: MessageEntry, field: FieldEntry): string {
  const byWords = new Map<string, string[]>();
  const whole = fieldStatus(kind, []);
  for (const path of message.paths) {
    const status = fieldStatus(kind, [...path, field.name]);
    if (!status) return '';
    const words = statusWords(status, whole);
    byWords.set(words, [...(byWords.get(words) ?? []), pathText(path)]);
  }
  if (byWords.size === 1) return [...byWords.keys()][0] ?? '';
  return [...byWords]
    .map(([words, places]) => `${words} (${places.map((place) => `\`${place}\``).join(', ')})`)
    .join('; ');
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ');
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
