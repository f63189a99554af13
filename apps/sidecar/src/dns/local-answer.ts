// DNS: the answer to a question about a name of the mesh.

import { type Answer, type DecodedPacket, encode, type OptAnswer, type Packet, type Question } from 'dns-packet';
import type { FoundName } from './name-index.js';

/** Bits of the header. */
const AUTHORITATIVE = 1 << 10;
const TRUNCATED = 1 << 9;
const RECURSION_DESIRED = 1 << 8;
const RECURSION_AVAILABLE = 1 << 7;
export const RCODE = { formatError: 1, serverFailure: 2 } as const;
const OPCODE_SHIFT = 11;
/** As Istio's; addresses of services seldom change, those of headless ones do. */
const TTL_SECONDS = 30;
/** Without EDNS. */
const PLAIN_UDP_BYTES = 512;
/** What passes most networks unbroken, and is more than enough on loopback. */
const MOST_UDP_BYTES = 4096;
/** Of records in one answer. */
const MOST_RECORDS = 1000;
/** A message over TCP has its length in 16 bits. */
const MOST_TCP_BYTES = 0xffff;
/** Header, question, alias and extension: names of 255 bytes at most. */
const BESIDE_RECORDS_BYTES = 1_100;
/** Of a record beside its name: type, class, TTL, length, and an address of IPv6. */
const RECORD_BYTES = 10 + 16;

/** The one question that can be answered here; undefined: it is for somebody else. */
export function localQuestion({ questions = [], flags = 0 }: DecodedPacket): Question | undefined {
  const [question] = questions;
  if (questions.length !== 1 || question === undefined || ((flags >> OPCODE_SHIFT) & 0x0f) !== 0) {
    return undefined;
  }
  const isAddress = question.type === 'A' || question.type === 'AAAA';
  return isAddress && (question.class ?? 'IN') === 'IN' ? question : undefined;
}

/**
 * A name that has addresses of the other family alone has none of this one, which is another thing than not to be there.
 *
 * @param turn rotates the addresses, so that clients who take the first spread over all
 */
export function localAnswer(query: DecodedPacket, question: Question, found: FoundName, turn: number): Packet {
  const owner = found.canonical ?? question.name;
  const type = question.type as 'A' | 'AAAA';
  const all = type === 'A' ? found.ipv4 : found.ipv6;
  const first = all.length === 0 ? 0 : turn % all.length;
  const rotated = [...all.slice(first), ...all.slice(0, first)].slice(0, mostRecords(owner));
  const answers: Answer[] = rotated.map((data) => ({ type, name: owner, ttl: TTL_SECONDS, data }));
  if (found.canonical !== undefined && answers.length > 0) {
    answers.unshift({ type: 'CNAME', name: question.name, ttl: TTL_SECONDS, data: found.canonical });
  }
  return { ...replyTo(query), flags: AUTHORITATIVE | flagsOf(query), answers };
}

/** Names are written out in each record: so many of them fit in a message. */
function mostRecords(owner: string): number {
  const each = Buffer.byteLength(owner) + 2 + RECORD_BYTES;
  return Math.min(MOST_RECORDS, Math.floor((MOST_TCP_BYTES - BESIDE_RECORDS_BYTES) / each));
}

const HEADER_BYTES = 12;

/** It has a header, and is not an answer itself. */
export function isQuestion(message: Uint8Array): boolean {
  return message.length >= HEADER_BYTES && (message[2]! & 0x80) === 0;
}

/** An answer with nothing but a code, to a question of which perhaps only the header can be read. */
export function failure(message: Uint8Array, rcode: number): Buffer {
  const reply = Buffer.alloc(HEADER_BYTES);
  reply.set(message.subarray(0, 2));
  const desired = message[2]! & 0x01;
  reply[2] = 0x80 | desired;
  reply[3] = RECURSION_AVAILABLE | rcode;
  return reply;
}

function flagsOf(query: DecodedPacket): number {
  return RECURSION_AVAILABLE | (query.flag_rd ? RECURSION_DESIRED : 0);
}

function replyTo(query: DecodedPacket): Packet {
  const extended = extensionOf(query);
  return {
    type: 'response',
    ...(query.id === undefined ? {} : { id: query.id }),
    questions: query.questions ?? [],
    additionals: extended === undefined ? [] : [EXTENSION],
  };
}

const EXTENSION: OptAnswer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: MOST_UDP_BYTES,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

function extensionOf({ additionals = [] }: DecodedPacket): OptAnswer | undefined {
  return additionals.find((record): record is OptAnswer => record.type === 'OPT');
}

/** In one datagram; where it does not fit, without its records and marked so that the client asks again over TCP. */
export function encodeForUdp(query: DecodedPacket, reply: Packet): Buffer {
  const wanted = extensionOf(query)?.udpPayloadSize ?? PLAIN_UDP_BYTES;
  const most = Math.min(Math.max(wanted, PLAIN_UDP_BYTES), MOST_UDP_BYTES);
  const bytes = encode(reply);
  return bytes.length <= most ? bytes : encode({ ...reply, flags: (reply.flags ?? 0) | TRUNCATED, answers: [] });
}
