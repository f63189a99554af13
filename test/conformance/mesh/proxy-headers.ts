// Conformance: headers of the PROXY protocol, as a balancer writes them and as a pod reads them, known by `V1 192.0.2.7`.

/** What a PROXY header says. */
export interface ReadProxyHeader {
  /** Version and client: `V1 192.0.2.7`. */
  readonly text: string;
  readonly length: number;
}

const V2_MARK = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V2_HEAD_BYTES = 16;
const PROXY_V2 = 0x21;
const TCP_OVER_IPV4 = 0x11;
const IPV4_BYTES = 12;

interface Place {
  readonly host: string;
  readonly port: number;
}

/** The header that tells of a client. @param header version and address of the client */
export function proxyHeaderBytes(header: string, clientPort: number, server: Place): Buffer {
  const [version, client = ''] = header.split(' ');
  if (version === 'V1') {
    return Buffer.from(`PROXY TCP4 ${client} ${server.host} ${clientPort} ${server.port}\r\n`, 'latin1');
  }
  const body = Buffer.alloc(IPV4_BYTES);
  body.set(client.split('.').map(Number), 0);
  body.set(server.host.split('.').map(Number), 4);
  body.writeUInt16BE(clientPort, 8);
  body.writeUInt16BE(server.port, 10);
  return Buffer.concat([V2_MARK, Buffer.from([PROXY_V2, TCP_OVER_IPV4, 0, IPV4_BYTES]), body]);
}

/** Reads a header off the first bytes of a connection; undefined: there is none. */
export function readProxyHeader(first: Buffer): ReadProxyHeader | undefined {
  if (first.subarray(0, V2_MARK.length).equals(V2_MARK)) {
    const length = V2_HEAD_BYTES + first.readUInt16BE(14);
    const client = [...first.subarray(V2_HEAD_BYTES, V2_HEAD_BYTES + 4)].join('.');
    return { text: `V2 ${first[13] === TCP_OVER_IPV4 ? client : 'nobody'}`, length };
  }
  const line = /^PROXY (\S+)(?: (\S+))?[^\r]*\r\n/.exec(first.toString('latin1', 0, 108));
  return line === null ? undefined : { text: `V1 ${line[2] ?? line[1]}`, length: line[0].length };
}
