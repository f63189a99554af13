// Property tests: regular expressions as the core runs them, by table, step by step and as rewrites, against RE2's port.
import { fromJson } from '@bufbuild/protobuf';
import {
  compileAutomaton,
  compileProgram,
  MAX_REWRITE_INSTRUCTIONS,
  OP_ASSERT,
  OP_BYTE,
  OP_FAIL,
  OP_MATCH,
  OP_SAVE,
  OP_SPLIT,
  parseRegex,
} from '@lateen/regex';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { describe, expect, it } from 'vitest';
import { automatonRecord, programRecord } from './compile/match/regex-table.js';
import * as L from './layout.js';
import { createTestCore } from './reference/test-core.js';
import * as T from './regex-layout.js';
import { createTables } from './tables.js';

const { core, wasm, int, options, put, range } = createTestCore();
const tables = createTables(core);
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 3000);

/** Room for one record; nothing else is compiled while these tests run. */
const RECORD_AT = L.TABLE_ARENA_A;

function refused(source: string): boolean {
  try {
    RE2JS.compile(source);
    return false;
  } catch {
    return true;
  }
}

const atoms = fc.constantFrom(
  ...[
    'a',
    'b',
    '.',
    '\\.',
    '/',
    '[ab]',
    '[^a]',
    '[a-c/]',
    '\\d',
    '\\w',
    '\\W',
    '(?:ab)',
    '(?:ba|a)',
    '(?:|a)',
    '-',
    '~',
  ],
  ...['^', '$', '\\b', '\\B', '\\A', '\\z', '(?i:B)', '[[:alpha:]]', '(?:^a)', '(?:b$)'],
);
const repeats = fc.constantFrom('', '', '', '*', '+', '?', '{2}', '{0,2}', '{1,}', '*?', '+?', '??');
const patterns = fc.letrec<{ pattern: string }>((tie) => ({
  pattern: fc.oneof(
    { maxDepth: 3 },
    fc.tuple(atoms, repeats).map((parts) => parts.join('')),
    fc.array(tie('pattern'), { minLength: 1, maxLength: 3 }).map((items) => items.join('')),
    fc.array(tie('pattern'), { minLength: 1, maxLength: 3 }).map((items) => `(${items.join('|')})`),
    fc
      .tuple(fc.constantFrom('(', '(?:'), tie('pattern'), repeats)
      .map(([open, item, repeat]) => `${open}${item})${repeat}`),
  ),
})).pattern;
const texts = fc
  .array(fc.constantFrom('a', 'b', 'B', 'c', '/', '.', '1', '_', '-', '~'), { maxLength: 8 })
  .map((t) => t.join(''));

describe('matching', () => {
  it('agrees with RE2, by table and step by step', () => {
    let matched = 0;
    fc.assert(
      fc.property(patterns, fc.array(texts, { minLength: 1, maxLength: 10 }), (source, list) => {
        if (refused(source)) return;
        const oracle = RE2JS.compile(source);
        const program = compileProgram(parseRegex(source), false);
        const automaton = compileAutomaton(program);
        if (automaton === undefined) throw new Error(`no table for ${source}`);
        for (const record of [automatonRecord(automaton), programRecord(program)]) {
          core.bytes.set(record, RECORD_AT);
          for (const text of list) {
            // What follows the text must not count.
            const length = put(text);
            put('ab/1', L.READ_BUFFER + length);
            const expected = oracle.matches(text);
            const words = `/${source}/ on ${text}, kind ${record[0]}`;
            expect(wasm.matchesRegex(RECORD_AT, L.READ_BUFFER, length), words).toBe(Number(expected));
            if (expected) matched++;
          }
        }
      }),
      { numRuns: RUNS / 2 },
    );
    expect(matched).toBeGreaterThan(RUNS / 20);
  });

  it('runs an expression without a table in linear time', () => {
    const program = compileProgram(parseRegex('(a|b)*a(a|b){20}'), false);
    expect(compileAutomaton(program)).toBeUndefined();
    core.bytes.set(programRecord(program), RECORD_AT);
    const text = `${'ab'.repeat(20_000)}`;
    expect(wasm.matchesRegex(RECORD_AT, L.READ_BUFFER, put(`${text}a${'b'.repeat(20)}`))).toBe(1);
    expect(wasm.matchesRegex(RECORD_AT, L.READ_BUFFER, put(`${text}${'b'.repeat(19)}`))).toBe(1);
    expect(wasm.matchesRegex(RECORD_AT, L.READ_BUFFER, put(`${text}${'b'.repeat(20)}`))).toBe(0);
  });

  it('numbers instructions as the compiler does', () => {
    expect([
      T.REGEX_OP_MATCH,
      T.REGEX_OP_BYTE,
      T.REGEX_OP_SPLIT,
      T.REGEX_OP_SAVE,
      T.REGEX_OP_ASSERT,
      T.REGEX_OP_FAIL,
    ]).toEqual([OP_MATCH, OP_BYTE, OP_SPLIT, OP_SAVE, OP_ASSERT, OP_FAIL]);
    expect(T.REGEX_MAX_INSTRUCTIONS).toBe(MAX_REWRITE_INSTRUCTIONS);
  });
});

function compile(route: object) {
  const config = fromJson(RouteConfigurationSchema, {
    name: 'c',
    virtualHosts: [{ name: 'v', domains: ['*'], routes: [route as never] }],
  });
  const result = tables.compile({ routeConfigurations: [config], clusters: [], nowMs: 0 });
  if (result.ok) tables.activate();
  return result;
}

function send(path: string, headers = ''): number {
  const length = put(`GET ${path} HTTP/1.1\r\nhost: a\r\n${headers}\r\n`);
  expect(wasm.parseRequest(L.READ_BUFFER, length, 0, options({ normalizePath: false }), 0)).toBe(length);
  return wasm.route(tables.routeConfigSlot('c'), -1, 0);
}

/** The request line's target as it goes upstream. */
function forwarded(): string {
  const length = wasm.writeUpstreamHead(L.OUTPUT_RING, 65536, options(), 0, 0);
  return length === 0 ? '' : (core.text(L.OUTPUT_RING, length).split(' ')[1] as string);
}

describe('rewriting', () => {
  it('replaces what RE2 replaces', () => {
    fc.assert(
      fc.property(
        patterns,
        fc.array(texts, { minLength: 1, maxLength: 8 }),
        fc.constantFrom('', '?a=/b'),
        (source, list, query) => {
          if (refused(source)) return;
          const oracle = RE2JS.compile(source);
          const groups = oracle.groupCount();
          const substitution = groups > 0 ? '<\\1\\0>' : '<\\0>';
          const result = compile({
            match: { prefix: '/' },
            route: { cluster: 'c', regexRewrite: { pattern: { regex: source }, substitution } },
          });
          expect(result, source).toMatchObject({ ok: true });
          for (const text of list) {
            send(`/${text}${query}`);
            const replaced = globalReplace(oracle, `/${text}`, groups > 0);
            const expected = `${replaced.startsWith('/') ? '' : '/'}${replaced}${query}`;
            expect(forwarded(), `/${source}/ on /${text}`).toBe(expected);
          }
        },
      ),
      { numRuns: RUNS / 3 },
    );
  });

  it.each([
    ['/service/([^/]+)(/.*)$', '\\2/instance/\\1', '/service/foo/v1/api?x=1', '/v1/api/instance/foo?x=1'],
    ['one', 'two', '/xxx/one/yyy/one/zzz', '/xxx/two/yyy/two/zzz'],
    ['^(.*?)one(.*)$', '\\1two\\2', '/xxx/one/yyy/one/zzz', '/xxx/two/yyy/one/zzz'],
    ['(?i)/xxx/', '/yyy/', '/aaa/XxX/bbb', '/aaa/yyy/bbb'],
    ['/a(b)?(c)?', '/\\2\\1\\\\', '/ac', '/c\\'],
    ['x*', '-', '/ab', '-/-a-b-'],
  ])('%s to %s', (regex, substitution, path, expected) => {
    expect(
      compile({ match: { prefix: '/' }, route: { cluster: 'c', regexRewrite: { pattern: { regex }, substitution } } }),
    ).toMatchObject({
      ok: true,
    });
    expect(send(path)).toBe(L.ROUTE_ACTION_FORWARD);
    expect(forwarded()).toBe(expected.startsWith('/') ? expected : `/${expected}`);
  });

  it('builds the path of a redirect', () => {
    const redirect = {
      hostRedirect: 'b',
      regexRewrite: { pattern: { regex: '^/old/(.*)' }, substitution: '/new/\\1' },
    };
    compile({ match: { safeRegex: { regex: '/old/.*' } }, redirect });
    expect(send('/old/x?q=1')).toBe(L.ROUTE_ACTION_REDIRECT);
    expect(range(L.ROUTE_LOCATION_OFFSET, L.ROUTE_LOCATION_LENGTH)).toBe('http://b/new/x?q=1');
    compile({ match: { safeRegex: { regex: '/old/.*' } }, redirect: { ...redirect, stripQuery: true } });
    send('/old/x?q=1');
    expect(range(L.ROUTE_LOCATION_OFFSET, L.ROUTE_LOCATION_LENGTH)).toBe('http://b/new/x');
    compile({ match: { safeRegex: { regex: '/old/.*' } }, redirect: { prefixRewrite: '/all' } });
    send('/old/x?q=1');
    expect(range(L.ROUTE_LOCATION_OFFSET, L.ROUTE_LOCATION_LENGTH)).toBe('http://a/all?q=1');
  });

  it('refuses a request whose rewrite has no room or no end, and goes on', () => {
    const rewrite = (regex: string, substitution: string) => ({
      match: { prefix: '/' },
      route: { cluster: 'c', regexRewrite: { pattern: { regex }, substitution } },
    });
    compile(rewrite('[^/]', 'x'.repeat(1000)));
    send(`/${'a'.repeat(500)}`);
    expect(forwarded()).toBe('');
    compile({
      match: { prefix: '/' },
      redirect: rewrite('[^/]', 'x'.repeat(1000)).route && {
        regexRewrite: rewrite('[^/]', 'x'.repeat(1000)).route.regexRewrite,
      },
    });
    expect(send(`/${'a'.repeat(500)}`)).toBe(L.ROUTE_ACTION_DIRECT);
    expect(int(L.ROUTE_STATUS)).toBe(431);
    compile(rewrite('a.*b|a', 'c'));
    send(`/${'a'.repeat(50_000)}`);
    expect(forwarded()).toBe('');
    send('/aaa');
    expect(forwarded()).toBe('/ccc');
  });
});

/** RE2::GlobalReplace with the port's own search. */
function globalReplace(oracle: RE2JS, text: string, group: boolean): string {
  const matcher = oracle.matcher(text);
  let out = '';
  let at = 0;
  let lastEnd = -1;
  while (at <= text.length && matcher.find(at)) {
    const [begin, end] = [matcher.start(), matcher.end()];
    out += text.slice(at, begin);
    if (begin === lastEnd && begin === end) {
      out += text.slice(begin, begin + 1);
      at = begin + 1;
      continue;
    }
    out += `<${group ? (matcher.group(1) ?? '') : ''}${matcher.group(0)}>`;
    at = end;
    lastEnd = end;
  }
  return out + text.slice(at);
}

describe('routes', () => {
  it('matches path, header and query parameter by expressions', () => {
    compile({
      name: 'r',
      match: {
        safeRegex: { regex: '/v[12]/[^/]+' },
        headers: [
          { name: 'cookie', stringMatch: { safeRegex: { regex: '^(.*?;)?(user=jason)(;.*)?$' } } },
          { name: 'x-not', safeRegexMatch: { regex: 'a+' }, invertMatch: true, treatMissingHeaderAsEmpty: true },
        ],
        queryParameters: [{ name: 'v', stringMatch: { safeRegex: { regex: '\\d+' } } }],
      },
      route: { cluster: 'c', prefixRewrite: '/all' },
    });
    const cookie = 'cookie: theme=dark;user=jason\r\n';
    expect(send('/v1/x?v=12&v=a', cookie)).toBe(L.ROUTE_ACTION_FORWARD);
    expect(forwarded()).toBe('/all?v=12&v=a');
    expect(send('/v3/x?v=12', cookie)).toBe(L.ROUTE_ACTION_NONE);
    expect(send('/v1/x/?v=12', cookie)).toBe(L.ROUTE_ACTION_NONE);
    expect(send('/v1/x?v=a', cookie)).toBe(L.ROUTE_ACTION_NONE);
    expect(send('/v1/x', cookie)).toBe(L.ROUTE_ACTION_NONE);
    expect(send('/v1/x?v=1', 'cookie: user=jasons\r\n')).toBe(L.ROUTE_ACTION_NONE);
    expect(send('/v1/x?v=1', `${cookie}x-not: aa\r\n`)).toBe(L.ROUTE_ACTION_NONE);
    expect(send('/v1/x?v=1', `${cookie}x-not: ab\r\n`)).toBe(L.ROUTE_ACTION_FORWARD);
  });

  it('refuses an expression by its place and fault', () => {
    expect(compile({ match: { safeRegex: { regex: '/a(?=b)' } }, route: { cluster: 'c' } })).toMatchObject({
      problems: [
        {
          path: 'virtual_hosts[0].routes[0].match.safe_regex.regex',
          message: 'the regular expression looks ahead or behind, which RE2 does not do, at character 3',
        },
      ],
    });
    const tooLarge = { match: { safeRegex: { regex: '(.*a.{400}){2}' } }, route: { cluster: 'c' } };
    expect(compile(tooLarge)).toMatchObject({
      problems: [{ message: expect.stringContaining('is too large: it needs') }],
    });
  });
});
