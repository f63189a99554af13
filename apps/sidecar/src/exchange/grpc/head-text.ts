// gRPC-Web: changes heads as text. Such calls are few, so this is not the hot path.

const END = '\r\n\r\n';

/** A head with other fields: without those of some names (in lower case), and with lines added. What follows the head is left out. */
export function changeHead(head: string, removed: readonly string[], added: readonly string[]): string {
  const [first = '', ...lines] = head.slice(0, head.indexOf(END)).split('\r\n');
  const kept = lines.filter((line) => !removed.includes(line.slice(0, line.indexOf(':')).toLowerCase()));
  return [first, ...kept, ...added, '', ''].join('\r\n');
}

/** The length of the head at the beginning of a text. */
export const headLength = (text: string): number => text.indexOf(END) + END.length;

/** A message as `grpc-message` carries it: percent-encoded, but for printable ASCII without `%`. */
export function grpcMessage(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    text += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}

/** Media types of gRPC-Web whose bodies are bytes; parameters do not count. */
export function isWebBinary(contentType: string): boolean {
  return /^\s*application\/grpc-web(\+proto)?\s*(;|$)/i.test(contentType);
}

export const isGrpc = (contentType: string): boolean => /^application\/grpc(\+|$)/.test(contentType);
