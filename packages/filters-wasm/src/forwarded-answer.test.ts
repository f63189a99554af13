// Differential test against Node's own HTTP client (llhttp): a client reads of a forwarded answer what the core parsed.
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as L from './layout.js';
import { applyEdits, edits, requestHeads } from './reference/http1-arbitraries.js';
import { createTestCore } from './reference/test-core.js';

const { core, wasm, int, options, put } = createTestCore();
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 1500);

/** What llhttp makes of the bytes as the answer to a GET. */
function readByNode(text: string): Promise<IncomingMessage | string> {
  return new Promise((resolve) => {
    const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    const request = httpRequest({
      method: 'GET',
      createConnection: () => socket,
      maxHeaderSize: 128 * 1024,
    });
    request.on('response', (response) => {
      resolve(response);
      socket.destroy();
    });
    request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    request.end();
    request.once('socket', () =>
      setImmediate(() => {
        socket.push(Buffer.from(text, 'latin1'));
        socket.push(null);
      }),
    );
  });
}

const statusLines = fc.constantFrom(
  'HTTP/1.1 200 OK',
  'HTTP/1.0 200 OK',
  'HTTP/1.1 404',
  'HTTP/1.1 503 ',
  'HTTP/1.1 206 a b',
);
const answers = fc
  .tuple(statusLines, requestHeads)
  .map(([line, head]) => `${line}\r\n${head.replace(/^(\r\n)*[^\r\n]*\r\n/, '')}`);

describe('a forwarded answer', () => {
  it('means the same to Node’s parser', async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(answers, edits, async (head, list) => {
        const text = applyEdits(head, list);
        if (wasm.parseResponse(L.READ_BUFFER, put(text), 0, L.METHOD_GET, 0, options()) <= 0) return;
        const status = int(L.RESP_STATUS);
        if (status < 200 || status === 204 || status === 304) return;
        const body = int(L.RESP_BODY);
        const contentLength = core.f64[L.RESP_CONTENT_LENGTH >> 3];
        const length = wasm.writeDownstreamHead(L.OUTPUT_RING, 70_000, options(), 0, 0, -1, 1);
        const answer = await readByNode(core.text(L.OUTPUT_RING, length));
        if (typeof answer === 'string')
          throw new Error(`${answer}: ${JSON.stringify(core.text(L.OUTPUT_RING, length))}`);
        expect(answer.statusCode).toBe(status);
        expect(answer.headers['transfer-encoding']).toBe(body === L.BODY_CHUNKED ? 'chunked' : undefined);
        expect(answer.headers.connection).toBe(body === L.BODY_UNTIL_CLOSE ? 'close' : undefined);
        if (body === L.BODY_LENGTH)
          expect(answer.headers['content-length']).toSatisfy((value: string) => Number(value) === contentLength);
        if (body === L.BODY_CHUNKED || body === L.BODY_UNTIL_CLOSE)
          expect(answer.headers['content-length']).toBeUndefined();
        compared++;
      }),
      { numRuns: RUNS },
    );
    expect(compared).toBeGreaterThan(RUNS / 10);
  });
});
