// Last-known-good: keeps the accepted resources on disk, so that a sidecar that starts with no control plane serves.

import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { writeFileAtomic } from '@lateen/identity';
import { PUSH_ORDER, TYPE_URL, type XdsTypeUrl } from '@lateen/xds-proto';
import { DeltaDiscoveryResponseSchema } from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { decodeResource } from './decode-resource.js';
import { EMPTY_STATE, type ResourceEntry, type ResourceState } from './store/resource-state.js';

/** Changes with the form of the file; another one is not read. */
const FORMAT = 'lateen-xds-1';
const FILE_NAME = 'last-known-good.bin';
/** Changes within this time are written together. */
const QUIET_MS = 100;
/** Writing takes at most this share of the time, so that a large mesh that changes all the time does not keep the disk busy. */
const WRITE_SHARE = 0.1;
const LENGTH_BYTES = 4;

export interface LastKnownGoodOptions {
  /** The sidecar's state directory; `xds/` is made in it. */
  readonly stateDir: string;
  /** The node's id: what was kept for another proxy is not used. */
  readonly nodeId: string;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
}

/** One file: a line with format, node id and checksum, then for each type a length and a DeltaDiscoveryResponse. */
export class LastKnownGood {
  readonly file: string;
  #wanted: ResourceState | undefined;
  #written: ResourceState | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #pauseMs = QUIET_MS;

  constructor(private readonly options: LastKnownGoodOptions) {
    this.file = join(options.stateDir, 'xds', FILE_NAME);
  }

  /** What was kept; undefined where there is nothing usable. What is wrong with it is logged. */
  async load(): Promise<ResourceState | undefined> {
    let bytes: Buffer;
    try {
      bytes = await readFile(this.file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      this.#ignore((error as Error).message);
      return undefined;
    }
    try {
      const state = this.#parse(bytes);
      this.#written = state;
      return state;
    } catch (error) {
      this.#ignore((error as Error).message);
      return undefined;
    }
  }

  /** Notes that this state is in effect; written soon. */
  save(state: ResourceState): void {
    if (sameState(state, this.#wanted ?? this.#written)) return;
    this.#wanted = state;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#writing = this.#writing.then(() => this.#write());
    }, this.#pauseMs);
  }

  /** Writes what waits. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    await this.#writing;
  }

  async #write(): Promise<void> {
    const state = this.#wanted;
    this.#wanted = undefined;
    if (state === undefined || sameState(state, this.#written)) return;
    const startMs = performance.now();
    try {
      await mkdir(join(this.options.stateDir, 'xds'), { recursive: true, mode: 0o700 });
      await writeFileAtomic(this.file, this.#serialize(state), { mode: 0o600 });
      this.#written = state;
    } catch (error) {
      this.options.log('error', 'the configuration could not be kept for a restart; serving goes on', {
        file: this.file,
        reason: (error as Error).message,
      });
    }
    this.#pauseMs = Math.max(QUIET_MS, (performance.now() - startMs) / WRITE_SHARE);
  }

  #serialize(state: ResourceState): Buffer {
    const parts: Uint8Array[] = [];
    for (const typeUrl of PUSH_ORDER) {
      const resources = [...state[typeUrl].values()].map(({ name, version, any }) => ({
        name,
        version,
        resource: any,
      }));
      const message = toBinary(
        DeltaDiscoveryResponseSchema,
        create(DeltaDiscoveryResponseSchema, { typeUrl, resources }),
      );
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt32BE(message.length);
      parts.push(length, message);
    }
    const body = Buffer.concat(parts);
    const header = JSON.stringify({ format: FORMAT, node: this.options.nodeId, sha256: digest(body) });
    return Buffer.concat([Buffer.from(`${header}\n`), body]);
  }

  #parse(bytes: Buffer): ResourceState {
    const end = bytes.indexOf(0x0a);
    if (end < 0) throw new Error('it has no header');
    const header = JSON.parse(bytes.subarray(0, end).toString('utf8')) as Record<string, unknown>;
    const body = bytes.subarray(end + 1);
    if (header.format !== FORMAT) throw new Error(`its format is ${String(header.format)}, not ${FORMAT}`);
    if (header.sha256 !== digest(body)) throw new Error('its checksum is wrong');
    if (header.node !== this.options.nodeId) throw new Error(`it was kept for the node ${String(header.node)}`);
    const state: Record<string, Map<string, ResourceEntry<never>>> = {};
    for (const typeUrl of Object.keys(EMPTY_STATE)) state[typeUrl] = new Map();
    for (let offset = 0; offset < body.length; ) {
      const start = offset + LENGTH_BYTES;
      offset = start + body.readUInt32BE(offset);
      const { typeUrl, resources } = fromBinary(DeltaDiscoveryResponseSchema, body.subarray(start, offset));
      const map = state[typeUrl];
      if (map === undefined) continue; // a type of another version of this program
      for (const { name, version, resource } of resources) {
        const entry = this.#decode(typeUrl as XdsTypeUrl, name, version, resource);
        if (entry !== undefined) map.set(name, entry as ResourceEntry<never>);
      }
    }
    // Every type URL of ResourceState is a key, with entries that decodeResource made.
    return state as unknown as ResourceState;
  }

  /** Another version of this program may have accepted what this one does not. */
  #decode(typeUrl: XdsTypeUrl, name: string, version: string, any: ResourceEntry<unknown>['any'] | undefined) {
    try {
      if (any === undefined) throw new Error('it has no content');
      return { ...decodeResource(typeUrl, any, name), version, any, updatedMs: Date.now() };
    } catch (error) {
      const reason = (error as Error).message;
      this.options.log('warn', 'a kept resource is not used', { file: this.file, typeUrl, resource: name, reason });
      return undefined;
    }
  }

  #ignore(reason: string): void {
    this.options.log('warn', 'the kept configuration is not used', { file: this.file, reason });
  }
}

function digest(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex');
}

function sameState(a: ResourceState, b: ResourceState | undefined): boolean {
  return b !== undefined && Object.values(TYPE_URL).every((typeUrl) => sameMap(a[typeUrl], b[typeUrl]));
}

function sameMap(
  a: ReadonlyMap<string, ResourceEntry<unknown>>,
  b: ReadonlyMap<string, ResourceEntry<unknown>>,
): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const [name, entry] of a) {
    const other = b.get(name);
    if (other?.value !== entry.value || other?.version !== entry.version) return false;
  }
  return true;
}
