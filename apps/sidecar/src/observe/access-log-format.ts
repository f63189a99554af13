// Access log: compiles a text or JSON format to a function from the finished exchange to a line.

import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import type { AccessLogRecord } from '../data-plane.js';
import { createOperator, type Operator } from './access-log-operators.js';

export type LineFormatter = (record: AccessLogRecord) => string;

/** What is written where a configuration sets no format: Istio's. */
export const DEFAULT_TEXT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n';

const COMMAND = /%(?:%|([A-Z_0-9]+)(?:\(([^)]*)\))?(?::(\d+))?%)/g;
/** Control characters would let a request forge log lines. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that are replaced
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f]/g;

interface Template {
  readonly pieces: readonly (string | Operator)[];
}

/** @throws Error naming an operator that is unknown or malformed */
function parseTemplate(format: string): Template {
  const pieces: (string | Operator)[] = [];
  let end = 0;
  const literal = (text: string) => {
    if (text.includes('%')) throw new Error(`access log format is not supported at ${JSON.stringify(text)}`);
    if (text !== '') pieces.push(text);
  };
  for (const match of format.matchAll(COMMAND)) {
    literal(format.slice(end, match.index));
    end = match.index + match[0].length;
    const [whole, name, argument, maxLength] = match;
    if (whole === '%%') pieces.push('%');
    else pieces.push(createOperator(name as string, argument, maxLength === undefined ? undefined : Number(maxLength)));
  }
  literal(format.slice(end));
  return { pieces };
}

/**
 * @param omitEmptyValues writes nothing instead of `-` for what is missing
 * @throws Error naming an operator that is unknown or malformed
 */
export function compileTextFormat(format: string, omitEmptyValues = false): LineFormatter {
  const { pieces } = parseTemplate(format);
  const missing = omitEmptyValues ? '' : '-';
  return (record) => {
    let line = '';
    for (const piece of pieces) {
      if (typeof piece === 'string') line += piece;
      else {
        const value = piece(record);
        if (value === undefined) line += missing;
        else line += typeof value === 'string' ? value.replace(UNPRINTABLE, escapeCharacter) : value;
      }
    }
    return line;
  };
}

function escapeCharacter(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

type JsonFormatter = (record: AccessLogRecord) => JsonValue | undefined;

/**
 * One JSON object a line. A value that is one operator keeps its type, and null stands for what is missing.
 * @throws Error naming the key and the operator that is unknown or malformed
 */
export function compileJsonFormat(
  format: JsonObject,
  options: { readonly omitEmptyValues: boolean; readonly sortProperties: boolean },
): LineFormatter {
  const write = compileJsonObject(format, options, '');
  return (record) => `${JSON.stringify(write(record))}\n`;
}

interface JsonOptions {
  readonly omitEmptyValues: boolean;
  readonly sortProperties: boolean;
}

function compileJsonObject(format: JsonObject, options: JsonOptions, path: string): JsonFormatter {
  const entries = Object.entries(format);
  if (options.sortProperties) entries.sort(([a], [b]) => (a < b ? -1 : 1));
  const writers = entries.map(([key, value]) => [key, compileJsonValue(value, options, `${path}${key}`)] as const);
  return (record) => {
    const object: JsonObject = {};
    for (const [key, write] of writers) {
      const value = write(record);
      if (value !== undefined) object[key] = value;
    }
    return object;
  };
}

function compileJsonValue(format: JsonValue, options: JsonOptions, path: string): JsonFormatter {
  if (typeof format === 'string') return compileJsonString(format, options, path);
  if (Array.isArray(format)) {
    const writers = format.map((item, index) => compileJsonValue(item, options, `${path}[${index}]`));
    return (record) => writers.map((write) => write(record) ?? null);
  }
  if (typeof format === 'object' && format !== null) return compileJsonObject(format, options, `${path}.`);
  return () => format;
}

function compileJsonString(format: string, options: JsonOptions, path: string): JsonFormatter {
  let template: Template;
  try {
    template = parseTemplate(format);
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`);
  }
  const [only, second] = template.pieces;
  const missing = options.omitEmptyValues ? undefined : null;
  if (typeof only === 'function' && second === undefined) return (record) => only(record) ?? missing;
  return (record) => {
    let text = '';
    for (const piece of template.pieces) {
      text += typeof piece === 'string' ? piece : (piece(record) ?? (options.omitEmptyValues ? '' : '-'));
    }
    return text;
  };
}
