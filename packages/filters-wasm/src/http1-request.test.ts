// Property tests: the request parser of the core against a plain reference, on valid, broken and mutated heads.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as L from './layout.js';
import { applyEdits, edits, requestHeads } from './reference/http1-arbitraries.js';
import { parseReferenceRequest } from './reference/reference-head.js';
import type { PathRules } from './reference/reference-path.js';
import { createTestCore } from './reference/test-core.js';

const { core, wasm, int, options, put, range, headers } = createTestCore();
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 4000);

const rules = fc.record<PathRules>({
  normalize: fc.boolean(),
  mergeSlashes: fc.boolean(),
  escapedSlashes: fc.constantFrom('keep', 'reject', 'unescape'),
});
const listenerFor = ({ normalize, mergeSlashes, escapedSlashes }: PathRules) =>
  options({ normalizePath: normalize, mergeSlashes, escapedSlashes });

/** Everything that a decision or a write depends on, as plain values. */
function parsed(length: number) {
  const bodies: Readonly<Record<number, string>> = {
    [L.BODY_NONE]: 'none',
    [L.BODY_LENGTH]: 'length',
    [L.BODY_CHUNKED]: 'chunked',
  };
  const flags = int(L.REQ_FLAGS);
  const path = range(L.REQ_PATH_OFFSET, L.REQ_PATH_LENGTH);
  return {
    kind: 'request',
    length,
    method: range(L.REQ_METHOD_OFFSET, L.REQ_METHOD_LENGTH),
    path,
    pathOnly: path.slice(0, int(L.REQ_PATH_ONLY_LENGTH)),
    authority: range(L.REQ_AUTHORITY_OFFSET, L.REQ_AUTHORITY_LENGTH),
    minor: int(L.REQ_MINOR_VERSION),
    headers: headers(L.REQ_HEADERS, int(L.REQ_HEADER_COUNT)),
    body: bodies[int(L.REQ_BODY)],
    contentLength: core.f64[L.REQ_CONTENT_LENGTH >> 3]!,
    keepAlive: (flags & L.REQUEST_KEEP_ALIVE) !== 0,
    expectContinue: (flags & L.REQUEST_EXPECT_CONTINUE) !== 0,
  };
}

function parse(text: string, listener: number, stale = 'X') {
  const length = put(text);
  core.bytes.fill(stale, L.READ_BUFFER + length, L.READ_BUFFER + length + 256, 'latin1');
  const result = wasm.parseRequest(L.READ_BUFFER, length, 0, listener, 0);
  return result > 0 ? parsed(result) : result;
}

function check(text: string, path: PathRules): void {
  const listener = listenerFor(path);
  const expected = parseReferenceRequest(text, path);
  const actual = parse(text, listener);
  if (expected.kind === 'request') expect(actual).toEqual(expected);
  else if (expected.kind === 'incomplete') expect(actual).toSatisfy((value: unknown) => typeof value === 'number');
  else expect([...expected.statuses]).toContain(-(actual as number));
}

describe('parseRequest', () => {
  it('agrees with the reference on heads that are valid or break one rule', () => {
    fc.assert(fc.property(requestHeads, rules, check), { numRuns: RUNS });
  });

  it('agrees with the reference on mutated heads', () => {
    fc.assert(
      fc.property(requestHeads, edits, rules, (head, list, path) => check(applyEdits(head, list), path)),
      { numRuns: RUNS },
    );
  });

  it('never lets stale bytes after the head decide anything', () => {
    const stale = fc.constantFrom('\r\n\r\n', '\n', '0', ' HTTP/1.1\r\n\r\n', 'x: y\r\n\r\n', ':');
    fc.assert(
      fc.property(requestHeads, fc.double({ min: 0, max: 1, noNaN: true }), stale, (head, cut, filler) => {
        const text = head.slice(0, Math.floor(cut * head.length));
        const listener = options();
        const clean = parse(text, listener, '\0');
        expect(parse(text, listener, filler)).toEqual(clean);
        // What is cut off cannot have been accepted: the head ends with its last byte.
        if (
          text.length < head.length &&
          parseReferenceRequest(text, { normalize: true, mergeSlashes: false, escapedSlashes: 'keep' }).kind ===
            'incomplete'
        ) {
          expect(clean).toSatisfy((value: unknown) => typeof value === 'number');
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('gives the same answer whatever the reads were', () => {
    fc.assert(
      fc.property(requestHeads, edits, fc.array(fc.nat(400), { maxLength: 6 }), (head, list, cuts) => {
        const text = applyEdits(head, list);
        const listener = options();
        const whole = parse(text, listener);
        let scanned = 0;
        let result: unknown = 0;
        for (const cut of [
          ...cuts.filter((place) => place > 0 && place < text.length).sort((a, b) => a - b),
          text.length,
        ]) {
          put(text.slice(0, cut));
          const step = wasm.parseRequest(L.READ_BUFFER, cut, scanned, listener, 0);
          result = step > 0 ? parsed(step) : step;
          if (step !== 0) break;
          scanned = cut;
        }
        // A refusal may come sooner or later, but an accepted head is the same head.
        if (typeof whole === 'object') expect(result).toEqual(whole);
        else
          expect(result).toSatisfy(
            (value: unknown) => (typeof value === 'number' && value < 0 === whole < 0) || whole === 0 || value === 0,
          );
      }),
      { numRuns: RUNS },
    );
  });
});

describe('limits of a request head', () => {
  const head = (bytes: number) => {
    const start = 'GET / HTTP/1.1\r\nhost: h\r\n';
    const lines: string[] = [];
    for (let left = bytes - start.length - 2; left > 0; ) {
      const line = Math.min(left, 8000);
      lines.push(`x: ${'v'.repeat(Math.max(line - 5, 0))}\r\n`);
      left -= line;
    }
    return `${start}${lines.join('')}\r\n`;
  };

  it('takes 60 KiB and refuses one byte more with 431', () => {
    expect(put(head(L.MAX_HEAD_BYTES))).toBe(L.MAX_HEAD_BYTES);
    expect(wasm.parseRequest(L.READ_BUFFER, L.MAX_HEAD_BYTES, 0, options(), 0)).toBe(L.MAX_HEAD_BYTES);
    const length = put(head(L.MAX_HEAD_BYTES + 1));
    expect(wasm.parseRequest(L.READ_BUFFER, length, 0, options(), 0)).toBe(-431);
  });

  it('refuses an unfinished head of 60 KiB', () => {
    const length = put(head(L.MAX_HEAD_BYTES + 100).slice(0, L.MAX_HEAD_BYTES));
    expect(wasm.parseRequest(L.READ_BUFFER, length, 0, options(), 0)).toBe(-431);
    expect(wasm.parseRequest(L.READ_BUFFER, length - 1, 0, options(), 0)).toBe(0);
  });

  it('takes 100 headers and refuses 101 with 431', () => {
    const many = (count: number) => `GET / HTTP/1.1\r\nhost: h\r\n${'a: b\r\n'.repeat(count - 1)}\r\n`;
    expect(parse(many(100), options())).toMatchObject({ method: 'GET' });
    expect(parse(many(101), options())).toBe(-431);
  });
});
