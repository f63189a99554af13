// TCP: asks an upstream that is a proxy for a connection to somebody else: the request, and the answer to CONNECT of HTTP/1.1.

/** What a TCP proxy's `tunneling_config` says. */
export interface TunnelSettings {
  /** HOST:PORT that the upstream is asked for. */
  readonly target: string;
  /** By POST, whose body is what the client sends, with this path; undefined: by CONNECT (RFC 9110, 9.3.6). */
  readonly postPath?: string | undefined;
  /** What the request says besides: names in lower case, values. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

/** A head larger than this is no answer to CONNECT. */
const MAX_ANSWER_BYTES = 60 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n', 'latin1');
const STATUS_LINE = /^HTTP\/1\.[01] (\d{3})(?: |\r|$)/;
const NOTHING = Buffer.alloc(0);

/** Why there is no tunnel. */
export class TunnelRefused extends Error {}

/** The request in HTTP/1.1's form, as Envoy writes it. */
export function tunnelHead({ target, postPath, headers = [] }: TunnelSettings): Buffer {
  const line = postPath === undefined ? `CONNECT ${target} HTTP/1.1` : `POST ${postPath} HTTP/1.1`;
  const lines = headers.map(([name, value]) => `${name}: ${value}`);
  const framing = postPath === undefined ? [] : ['transfer-encoding: chunked'];
  return Buffer.from(`${[line, `host: ${target}`, ...lines, ...framing].join('\r\n')}\r\n\r\n`, 'latin1');
}

/** In Envoy's words. */
export function refusedWith(status: number): TunnelRefused {
  return new TunnelRefused(`tunnel_response:${status}`);
}

/** Reads the answer to a CONNECT, which may come in pieces. */
export class ConnectAnswer {
  private gathered: Buffer = NOTHING;

  /**
   * Adds bytes. Undefined while more are needed; otherwise what follows the answer, which is the target's already.
   *
   * @throws TunnelRefused where the answer is not 2xx, or none
   */
  add(bytes: Uint8Array): Buffer | undefined {
    this.gathered = Buffer.concat([this.gathered, bytes]);
    for (;;) {
      const end = this.gathered.indexOf(HEAD_END);
      if (end < 0) break;
      const status = statusOf(this.gathered.toString('latin1', 0, end));
      this.gathered = this.gathered.subarray(end + HEAD_END.length);
      if (status >= 200 && status < 300) return this.gathered;
      if (status >= 200 || status === 101) throw refusedWith(status);
    }
    if (this.gathered.length > MAX_ANSWER_BYTES) throw new TunnelRefused('the answer to CONNECT is too large');
    return undefined;
  }
}

function statusOf(head: string): number {
  const match = STATUS_LINE.exec(head);
  if (match === null) throw new TunnelRefused('the upstream answers CONNECT with something that is not HTTP/1');
  return Number(match[1]);
}
