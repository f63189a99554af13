// TCP: Istio's metadata exchange: what both sidecars of a connection say of themselves before the first byte of it.
//
// Where the handshake has agreed on the protocol (`istio-peer-exchange`), each side's bytes begin with a header (magic and
// length, big endian) and a google.protobuf.Any of a Struct with the keys below. Bytes that do not begin with the magic
// are the connection's own: a peer that has nothing to say sends none.

import { fromBinary, type JsonObject, toBinary } from '@bufbuild/protobuf';
import { AnySchema, StructSchema } from '@bufbuild/protobuf/wkt';
import { packAny } from '@lateen/xds-proto';
import type { Node } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { jsonOf, structOf, toldMetadata, type WorkloadFacts, workloadOf } from '../exchange/peer-metadata.js';

const MAGIC = 0x3d230467;
const HEADER_BYTES = 8;
/** Labels and names of a workload; more than this is no metadata. */
const MAX_METADATA_BYTES = 64 * 1024;
const METADATA = 'x-envoy-peer-metadata';
const METADATA_ID = 'x-envoy-peer-metadata-id';

/** The bytes by which this node introduces itself. */
export function ownIntroduction(node: Node): Buffer {
  const struct = structOf({ [METADATA]: toldMetadata(node), [METADATA_ID]: node.id });
  const body = toBinary(AnySchema, packAny(StructSchema, struct));
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(body.length, 4);
  return Buffer.concat([header, body]);
}

/** Takes a peer's introduction off the beginning of its bytes. */
export class IntroductionReader {
  private gathered: Buffer = Buffer.alloc(0);
  /** Set once the introduction has been read; undefined where there was none, or none that can be read. */
  peer: WorkloadFacts | undefined;

  /**
   * Adds bytes. Undefined while more are needed; otherwise what follows the introduction, perhaps nothing.
   * @throws RangeError where the introduction is larger than any
   */
  add(bytes: Uint8Array): Buffer | undefined {
    this.gathered = Buffer.concat([this.gathered, bytes]);
    const { gathered } = this;
    if (!beginsLikeMagic(gathered)) return gathered;
    if (gathered.length < HEADER_BYTES) return undefined;
    const length = gathered.readUInt32BE(4);
    if (length > MAX_METADATA_BYTES) throw new RangeError(`the peer introduces itself with ${length} bytes`);
    if (gathered.length < HEADER_BYTES + length) return undefined;
    this.peer = parseIntroduction(gathered.subarray(HEADER_BYTES, HEADER_BYTES + length));
    return gathered.subarray(HEADER_BYTES + length);
  }

  /** What was taken for the beginning of an introduction: the peer has ended, so it was not one. */
  rest(): Buffer {
    return this.gathered;
  }
}

function beginsLikeMagic(bytes: Buffer): boolean {
  for (let index = 0; index < 4 && index < bytes.length; index++) {
    if (bytes[index] !== ((MAGIC >>> (24 - 8 * index)) & 0xff)) return false;
  }
  return true;
}

function parseIntroduction(body: Uint8Array): WorkloadFacts | undefined {
  let told: JsonObject;
  try {
    told = jsonOf(fromBinary(StructSchema, fromBinary(AnySchema, body).value));
  } catch {
    return undefined; // whatever the peer sent, it is not metadata
  }
  const metadata = told[METADATA];
  return typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata)
    ? workloadOf(metadata)
    : undefined;
}
