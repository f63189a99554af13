// TCP: asks an upstream that is a proxy for a connection to somebody else: CONNECT of HTTP/1.1 (RFC 9110, 9.3.6).

/** What a TCP proxy's `tunneling_config` says. */
export interface TunnelSettings {
  /** HOST:PORT that the upstream is asked for. */
  readonly target: string;
}

/** A head larger than this is no answer to CONNECT. */
const MAX_ANSWER_BYTES = 60 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n', 'latin1');
const STATUS_LINE = /^HTTP\/1\.[01] (\d{3})(?: |\r|$)/;
const NOTHING = Buffer.alloc(0);

/** Why there is no tunnel. */
export class TunnelRefused extends Error {}

/** The request, in Envoy's form. */
export function connectHead({ target }: TunnelSettings): Buffer {
  return Buffer.from(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n\r\n`, 'latin1');
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
      if (status >= 200 || status === 101) throw new TunnelRefused(`the upstream answers CONNECT with ${status}`);
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
