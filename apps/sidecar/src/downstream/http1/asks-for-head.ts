// Downstream, HTTP/1.1: whether a head that was refused, so that nothing is known of it, asked for an answer without a body.

const [CR, LF, SPACE] = [0x0d, 0x0a, 0x20];
const METHOD = Buffer.from('HEAD');

/** Looks at the first line alone, behind the empty ones that are forgiven. */
export function asksForHead(bytes: Uint8Array, at: number, end: number): boolean {
  let start = at;
  while (start < end && (bytes[start] === CR || bytes[start] === LF)) start++;
  const space = start + METHOD.length;
  return space < end && bytes[space] === SPACE && METHOD.every((byte, index) => bytes[start + index] === byte);
}
