// Mirrors: the head of a copy, whose host says that it is one.

const HOST = /\r\nhost: *([^\r\n]*)/i;
const PORT = /:\d+$/;

/** A head in which the host has `-shadow` at the end of its name, before its port, as Envoy writes it. */
export function shadowHead(head: Buffer): Buffer {
  const text = head.toString('latin1');
  const match = HOST.exec(text);
  if (match === null || match[1] === undefined) return head;
  const end = match.index + match[0].length - (PORT.exec(match[1])?.[0].length ?? 0);
  return Buffer.from(`${text.slice(0, end)}-shadow${text.slice(end)}`, 'latin1');
}
