// Reference: a chunked body read from a whole string, for property tests.

export type ReferenceChunks =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'done'; readonly length: number; readonly payload: string; readonly sizes: readonly string[] };

const MAX_EXTENSION_BYTES = 16_384;
const MAX_TRAILER_BYTES = 16_384;
const TRAILER = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\u0020-\u007e\u0080-\u00ff]*$/;

/** Reads the body at the start of Latin-1 text. Something wrong before the end is refused even where the end is missing. */
export function parseReferenceChunks(text: string): ReferenceChunks {
  let at = 0;
  let payload = '';
  const sizes: string[] = [];
  let extensionBytes = 0;
  while (true) {
    const line = /^([0-9a-fA-F]{1,13})(;[\t\u0020-\u007e\u0080-\u00ff]*)?\r\n/.exec(text.slice(at));
    // A size line ends at its first LF; one that ended otherwise than the pattern says is wrong, not unfinished.
    if (line === null) return { kind: text.slice(at).includes('\n') ? 'refused' : 'incomplete' };
    extensionBytes += Math.max((line[2] ?? '').length - 1, 0);
    if (extensionBytes > MAX_EXTENSION_BYTES) return { kind: 'refused' };
    sizes.push(line[1]!);
    at += line[0].length;
    const size = Number.parseInt(line[1]!, 16);
    if (size === 0) break;
    if (at + size + 2 > text.length) return { kind: 'incomplete' };
    if (text.slice(at + size, at + size + 2) !== '\r\n') return { kind: 'refused' };
    payload += text.slice(at, at + size);
    at += size + 2;
  }
  let trailerBytes = 0;
  while (true) {
    const end = text.indexOf('\r\n', at);
    if (end < 0) return { kind: 'incomplete' };
    const line = text.slice(at, end);
    at = end + 2;
    if (line === '') return { kind: 'done', length: at, payload, sizes };
    if (!TRAILER.test(line)) return { kind: 'refused' };
    trailerBytes += line.length - 1;
    if (trailerBytes > MAX_TRAILER_BYTES) return { kind: 'refused' };
  }
}
