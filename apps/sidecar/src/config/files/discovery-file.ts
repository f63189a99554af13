// Sources: a file with a DiscoveryResponse (YAML, JSON or binary protobuf) becomes checked resources and located problems.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fromBinary, type Message } from '@bufbuild/protobuf';
import { anyIs, fromEnvoyJson, unpackAny, type XdsTypeUrl } from '@lateen/xds-proto';
import {
  type DiscoveryResponse,
  DiscoveryResponseSchema,
  ResourceSchema,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { ResourceRejected } from '@lateen/xds-stream';
import { checkStructure } from '../check-structure.js';
import { decodeResource, type ResourceMessages } from '../decode-resource.js';
import { formatFieldPath, parseFieldPath } from '../field-path.js';
import { type LocatedDocument, parseLocatedYaml } from '../located-yaml.js';
import type { ResourceEntry } from '../store/resource-state.js';

/** One fault of a file. */
export interface DiscoveryFileProblem {
  /** Empty where the file as a whole is at fault. */
  readonly resourceName: string;
  /** `FILE:LINE:COLUMN PATH: MESSAGE` */
  readonly text: string;
}

export interface DiscoveryFile<Url extends XdsTypeUrl = XdsTypeUrl> {
  readonly version: string;
  readonly entries: readonly ResourceEntry<ResourceMessages[Url]>[];
  readonly problems: readonly DiscoveryFileProblem[];
}

interface Parsed {
  readonly response: DiscoveryResponse;
  /** Absent for a binary file, which has no lines. */
  readonly document: LocatedDocument | undefined;
}

/** Reads and checks a file. What is wrong with it is in the result; a file that cannot be read has no entries. */
export function readDiscoveryFile<Url extends XdsTypeUrl>(path: string, typeUrl: Url): DiscoveryFile<Url> {
  const whole = (text: string) => ({ version: '', entries: [], problems: [{ resourceName: '', text }] });
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    return whole(`${path}: cannot be read: ${(error as Error).message}`);
  }
  const parsed = parse(bytes, path);
  if (Array.isArray(parsed)) return { version: '', entries: [], problems: parsed };
  const { response, document } = parsed;
  if (response.typeUrl !== '' && response.typeUrl !== typeUrl) {
    return whole(`${place(path, document, 'type_url')}type_url: is ${response.typeUrl}; ${typeUrl} is expected here`);
  }
  const version = response.versionInfo || createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  return { version, ...decodeAll(response, document, path, typeUrl, version) };
}

function parse(bytes: Buffer, path: string): Parsed | DiscoveryFileProblem[] {
  const fault = (text: string) => [{ resourceName: '', text }];
  const extension = extname(path).toLowerCase();
  if (extension === '.pb_text' || extension === '.prototxt') {
    return fault(`${path}: the text form of protobuf is not supported; use YAML, JSON or binary protobuf (.pb)`);
  }
  if (extension === '.pb') {
    try {
      return { response: fromBinary(DiscoveryResponseSchema, bytes), document: undefined };
    } catch (error) {
      return fault(`${path}: is not a DiscoveryResponse in binary form: ${(error as Error).message}`);
    }
  }
  const document = parseLocatedYaml(bytes.toString('utf8'), 'a DiscoveryResponse');
  if (Array.isArray(document)) {
    return document.map(({ line, column, message }) => ({
      resourceName: '',
      text: `${path}:${line}:${column} ${message}`,
    }));
  }
  const structure = checkStructure(DiscoveryResponseSchema, document.value);
  if (structure.length > 0) {
    return structure.map((problem) => {
      const { line, column } = document.locate(problem.path, problem.atKey);
      const at = formatFieldPath(problem.path);
      const text = `${path}:${line}:${column} ${at === '' ? '' : `${at}: `}${problem.message}`;
      return { resourceName: '', text };
    });
  }
  try {
    return { response: fromEnvoyJson(DiscoveryResponseSchema, document.value), document };
  } catch (error) {
    return fault(`${path}:1:1 ${(error as Error).message}`);
  }
}

function decodeAll<Url extends XdsTypeUrl>(
  response: DiscoveryResponse,
  document: LocatedDocument | undefined,
  path: string,
  typeUrl: Url,
  version: string,
): Pick<DiscoveryFile<Url>, 'entries' | 'problems'> {
  const entries = new Map<string, ResourceEntry<ResourceMessages[Url]>>();
  const problems: DiscoveryFileProblem[] = [];
  const updatedMs = Date.now();
  response.resources.forEach((each, index) => {
    const at = `resources[${index}]`;
    const report = (resourceName: string, field: string, message: string) => {
      const full = field === '' ? at : `${at}.${field}`;
      problems.push({ resourceName, text: `${place(path, document, full)}${full}: ${message}` });
    };
    // As on a stream, a resource may come in an envelope that gives it a name, aliases and a time to live.
    const envelope = anyIs(each, ResourceSchema) ? unpackAny(each, ResourceSchema) : undefined;
    const any = envelope === undefined ? each : envelope.resource;
    if (any === undefined) return;
    try {
      const { name, value } = decodeResource(typeUrl, any, envelope?.name);
      if (entries.has(name)) report(name, '', `a resource named ${JSON.stringify(name)} is listed before`);
      else entries.set(name, { name, version, value, any, updatedMs });
    } catch (error) {
      if (!(error instanceof ResourceRejected)) report('', '', (error as Error).message);
      else {
        const inside = envelope === undefined ? '' : 'resource.';
        for (const problem of error.problems) {
          report(error.resourceName, problem.path === '' ? '' : `${inside}${problem.path}`, problem.message);
        }
      }
    }
  });
  return { entries: [...entries.values()] as ResourceEntry<ResourceMessages[Url] & Message>[], problems };
}

/** `FILE:LINE:COLUMN `, without the place where the file has none. */
function place(path: string, document: LocatedDocument | undefined, field: string): string {
  if (document === undefined) return `${path} `;
  const { line, column } = document.locate(parseFieldPath(field));
  return `${path}:${line}:${column} `;
}
