// Fuzzing, HTTP/1.1 in the core: the WebAssembly parser against the plain reference and against Node's own parser.

import { createStreamReader, referenceOutcome, type StreamOutcome } from '@lateen/filters-wasm/testing';
import { type FuzzTarget, failed, type Outcome, passed } from '../loop/fuzz-target.js';
import type { Random } from '../loop/random.js';
import { HTTP1_SEEDS, mutateHttp1 } from '../mutate/mutate-http1.js';
import { NodeHttpReader, type NodeOutcome } from './node-http-parser.js';

const MAX_PIECES = 2_000;
const MAX_EXAMPLE_LENGTH = 300;

const TRAILERS_OF_FRAMING =
  /\r\n0+[^\r\n]*\r\n(?:[^\r\n]+\r\n)*(?:connection|content-length|transfer-encoding)[ \t]*:/i;

interface Leniency {
  readonly why: string;
  /** Whether the stream has what is meant. */
  readonly applies: (stream: string) => boolean;
}

/**
 * Where the core takes what Node's parser refuses. What Node refuses it cannot read in another way, which is what request smuggling
 * lives on, so such a difference is listed, with its reason where one is known; another method, body or end of a message is a failure.
 */
const LENIENCIES: Readonly<Record<string, Leniency>> = {
  HPE_INVALID_METHOD: { why: 'any token is a method (RFC 9110, 9.1); Node knows a list', applies: () => true },
  HPE_INVALID_URL: {
    why: 'bytes from 0x80 and some others pass in a target, as in Envoy; the path is normalized',
    applies: () => true,
  },
  HPE_INVALID_HEADER_TOKEN: {
    why: 'bytes from 0x80 (obs-text, RFC 9110, 5.5) pass in a value',
    applies: () => true,
  },
  HPE_HEADER_OVERFLOW: { why: 'heads may have 60 KiB, as in Envoy; Node takes 16', applies: () => true },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: {
    why: 'extensions of a body may have 16 KiB, and are dropped',
    applies: () => true,
  },
  HPE_STRICT: {
    why: 'a chunk extension may be without a name; it is dropped',
    applies: (stream) => /^[0-9a-f]+[^\r\n]*;/im.test(stream),
  },
  HPE_UNEXPECTED_CONTENT_LENGTH: {
    why: 'equal lengths may stand more than once, and go on as one (RFC 9110, 8.6)',
    applies: (stream) => /content-length:[^\r]*\r\n(?:[^\r\n]+\r\n)*content-length:/i.test(stream),
  },
  HPE_CLOSED_CONNECTION: {
    why: "trailers are dropped (RFC 9110, 6.5.1); Node's parser closes after a Connection: close among them",
    applies: (stream) => TRAILERS_OF_FRAMING.test(stream),
  },
  HPE_INVALID_TRANSFER_ENCODING: {
    why: 'trailers are dropped, Transfer-Encoding among them',
    applies: (stream) => TRAILERS_OF_FRAMING.test(stream),
  },
  HPE_INVALID_CONTENT_LENGTH: {
    why: 'trailers are dropped, Content-Length among them; and a tab may follow a length (RFC 9110, 5.6.3)',
    applies: (stream) => TRAILERS_OF_FRAMING.test(stream) || /content-length:[ \t]*\d+[ \t]*\t[ \t]*\r\n/i.test(stream),
  },
};

export class Http1CoreTarget implements FuzzTarget {
  readonly name = 'http1-core';
  readonly oracle =
    'the core reads what the reference parser reads, in one piece and in many; Node reads no other messages';
  readonly #reader = createStreamReader();
  readonly #memoryBytes = this.#reader.core.bytes.length;
  readonly #lenient = new Map<string, number>();
  /** An example for each code of Node's that no line of the table explains. */
  readonly #unexplained = new Map<string, string>();
  #node: NodeHttpReader | undefined;

  async start(): Promise<void> {
    this.#node = new NodeHttpReader();
  }

  async stop(): Promise<void> {
    this.#node?.close();
  }

  seeds = () => HTTP1_SEEDS;
  mutate = (random: Random, input: Buffer, other: Buffer) => mutateHttp1(random, input, other);

  async run(input: Buffer): Promise<Outcome> {
    const stream = input.toString('latin1');
    const expected = referenceOutcome(stream);
    const whole = this.#reader.read([stream]);
    const pieces = inPieces(stream);
    const difference =
      differs('in one piece', whole, expected) ?? differs('in pieces', this.#reader.read(pieces), expected);
    if (difference !== undefined) return failed(difference);
    if (this.#reader.core.bytes.length !== this.#memoryBytes) return failed('the memory of the core has grown');
    const node = await (this.#node as NodeHttpReader).read(input);
    const disagreement = this.#againstNode(stream, whole.messages.slice(0, expected.answered), node);
    if (disagreement !== undefined) return failed(disagreement);
    return passed(`${whole.messages.length} ${whole.refused} ${node.errorCode} ${node.messages.length}`);
  }

  /** Methods and bodies must be those that Node reads, as far as both get. */
  #againstNode(stream: string, read: StreamOutcome['messages'], node: NodeOutcome): string | undefined {
    for (const [index, message] of read.entries()) {
      const other = node.messages[index];
      if (other === undefined) {
        // Node stops reading where another protocol may begin.
        if (node.errorCode === undefined && /^upgrade[ \t]*:/im.test(stream)) return undefined;
        if (node.errorCode === undefined) return `message ${index + 1} is taken, and Node waits for more of it`;
        const leniency = LENIENCIES[node.errorCode];
        if (leniency?.applies(stream) !== true)
          this.#unexplained.set(node.errorCode, stream.slice(0, MAX_EXAMPLE_LENGTH));
        this.#lenient.set(node.errorCode, (this.#lenient.get(node.errorCode) ?? 0) + 1);
        return undefined;
      }
      // The rest is a tunnel to Node; the sidecar refuses CONNECT.
      if (other.method === 'CONNECT' && message.method === 'CONNECT') return undefined;
      if (other.method !== message.method) return `message ${index + 1} is ${message.method}, in Node ${other.method}`;
      if (other.body !== message.body) {
        return `message ${index + 1} has the body ${JSON.stringify(message.body)}, in Node ${JSON.stringify(other.body)}`;
      }
    }
    return undefined;
  }

  summary(): readonly string[] {
    const known = [...this.#lenient]
      .sort(([a], [b]) => a.localeCompare(b))
      .map(
        ([code, count]) => `more lenient than Node ${count} times: ${code}: ${LENIENCIES[code]?.why ?? 'see below'}`,
      );
    const unknown = [...this.#unexplained].map(
      ([code, example]) => `NOT EXPLAINED: ${code}, for example ${JSON.stringify(example)}`,
    );
    return [...known, ...unknown];
  }
}

/** Byte by byte; long streams in larger steps, since an unfinished head is looked at again with each piece. */
function inPieces(stream: string): string[] {
  const step = Math.ceil(stream.length / MAX_PIECES);
  return Array.from({ length: Math.ceil(stream.length / step) || 0 }, (_, index) =>
    stream.slice(index * step, (index + 1) * step),
  );
}

function differs(how: string, core: StreamOutcome, reference: StreamOutcome): string | undefined {
  const actual = JSON.stringify(core.messages);
  const expected = JSON.stringify(reference.messages);
  if (actual !== expected) return `${how}: read ${actual}, the reference ${expected}`;
  // A head whose end has not been read yet may be refused later.
  const mustRefuse =
    reference.refused && (how === 'in one piece' || core.unfinished.replace(/^(\r\n)+/, '').includes('\r\n\r\n'));
  if (mustRefuse && !core.refused) return `${how}: not refused, the reference refuses it`;
  return undefined;
}
